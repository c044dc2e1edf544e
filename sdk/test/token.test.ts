import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { TokenRenewal } from '../src/token/token-renewal.js';
import { TokenSource, type TokenContext } from '../src/token/token-source.js';
import { Token } from '../src/token/token.js';
import { fetchToken } from '../src/token/fetch-token.js';
import { mint, WORKSPACE } from './fakes/tokens.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('a token', () => {
  test('lives exp − iat from its arrival, whatever the user’s clock says', () => {
    const token = new Token(mint(), 5000);
    expect(token.lifeMs).toBe(300_000);
    expect(token.isUsable(5000 + 294_999)).toBe(true);
    expect(token.isUsable(5000 + 295_000)).toBe(false);
    expect(token.remainingMs(305_000)).toBe(0);
  });

  test('names the session’s user: its identity, else the workspace', () => {
    expect(new Token(mint({ identity: 'alice' }), 0).user).toBe('alice');
    expect(new Token({ token: mint(), ws_url: 'wss://gw' }, 0)).toMatchObject({
      user: WORKSPACE,
      wsUrl: 'wss://gw',
    });
  });

  test.each([
    '',
    'a.b.c',
    'no token',
    mint({ exp: 'soon' }),
    mint({ exp: 1 }),
    mint({ sub: undefined }),
  ])('%j is malformed', (value) => {
    expect(() => new Token(value, 0)).toThrow(expect.objectContaining({ code: 'token.malformed' }));
  });
});

describe('the source', () => {
  test('asks once, whoever wants a token, and keeps the answer', async () => {
    const fetcher = vi.fn(() => Promise.resolve(mint()));
    const tokens = new TokenSource(fetcher);
    const [one, two] = await Promise.all([tokens.ready('connect'), tokens.ready('connect')]);
    expect(one).toBe(two);
    expect(await tokens.ready('connect')).toBe(one);
    expect(fetcher).toHaveBeenCalledOnce();
    tokens.drop();
    expect(await tokens.ready('refused')).not.toBe(one);
  });

  test('gives up after ten seconds', async () => {
    const tokens = new TokenSource(
      ({ signal }: TokenContext) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            reject(new Error('aborted'));
          });
        }),
    );
    const failed = expect(tokens.ready('connect')).rejects.toMatchObject({
      code: 'token.unavailable',
    });
    tokens.close();
    await failed;
  });

  test('after close() a new request does not join the aborted one', async () => {
    let calls = 0;
    const tokens = new TokenSource(() => {
      calls += 1;
      return calls === 1 ? new Promise<string>(() => undefined) : Promise.resolve(mint());
    });
    const first = expect(tokens.fetch('connect')).rejects.toMatchObject({
      code: 'token.unavailable',
    });
    tokens.close();
    await expect(tokens.fetch('connect')).resolves.toBeInstanceOf(Token);
    await first;
  });
});

describe('the token address', () => {
  const signal = new AbortController().signal;

  test.each([
    [401, 'token.refused'],
    [403, 'token.refused'],
    [404, 'token.unavailable'],
    [500, 'token.unavailable'],
  ])('answering %d is %s', async (status, code) => {
    vi.stubGlobal('fetch', () => Promise.resolve(new Response('', { status })));
    await expect(fetchToken('/t', signal)).rejects.toMatchObject({ code });
  });

  test('handing through why the gateway refuses the account says that', async () => {
    const error = { code: 'account.suspended', message: 'The workspace is suspended' };
    const body = JSON.stringify({ error });
    vi.stubGlobal('fetch', () => Promise.resolve(new Response(body, { status: 403 })));
    await expect(fetchToken('/t', signal)).rejects.toMatchObject({
      code: 'gateway.forbidden',
      gatewayCode: 'account.suspended',
      message: 'The workspace is suspended.',
    });
  });

  test('answering HTML is malformed, not answering is unavailable', async () => {
    vi.stubGlobal('fetch', () => Promise.resolve(new Response('<html>')));
    await expect(fetchToken('/t', signal)).rejects.toMatchObject({ code: 'token.malformed' });
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('offline')));
    await expect(fetchToken('/t', signal)).rejects.toMatchObject({ code: 'token.unavailable' });
  });
});

describe('renewal', () => {
  test('comes at 80 % of the life at the latest, again and again', async () => {
    const tokens = new TokenSource(() => Promise.resolve(mint()));
    const renewed = vi.fn();
    const renewal = new TokenRenewal(tokens, { renewed, failed: vi.fn() });
    renewal.schedule(await tokens.ready('connect'));
    await vi.advanceTimersByTimeAsync(227_000);
    expect(renewed).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(13_000);
    expect(renewed).toHaveBeenCalledOnce();
    await vi.advanceTimersByTimeAsync(240_000);
    expect(renewed).toHaveBeenCalledTimes(2);
    renewal.stop();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(renewed).toHaveBeenCalledTimes(2);
  });

  test('a failed one is told and tried again until it works', async () => {
    let broken = false;
    const tokens = new TokenSource(() =>
      broken ? Promise.reject(new Error('down')) : Promise.resolve(mint()),
    );
    const renewed = vi.fn();
    const failed = vi.fn();
    const renewal = new TokenRenewal(tokens, { renewed, failed });
    renewal.schedule(await tokens.ready('connect'));
    broken = true;
    await vi.advanceTimersByTimeAsync(245_000);
    expect(failed).toHaveBeenCalled();
    expect(failed.mock.calls[0]?.[0]).toMatchObject({ code: 'token.unavailable' });
    expect(failed.mock.calls[0]?.[1]).toBeLessThanOrEqual(75_000);
    broken = false;
    await vi.advanceTimersByTimeAsync(16_000);
    expect(renewed).toHaveBeenCalledOnce();
    renewal.stop();
  });
});
