import { afterEach, expect, test, vi } from 'vitest';
import { explainRefusal } from '../src/gateway/explain.js';
import { gatewayAddress } from '../src/gateway/address.js';

afterEach(() => {
  vi.unstubAllGlobals();
});

function answers(status: number, body?: object, headers: Record<string, string> = {}) {
  const fetcher = vi.fn(() =>
    Promise.resolve(
      new Response(status === 204 ? null : JSON.stringify(body ?? {}), { status, headers }),
    ),
  );
  vi.stubGlobal('fetch', fetcher);
  return fetcher;
}

test('asks the same address by plain GET with the token in a header', async () => {
  const fetcher = answers(401, { error: { code: 'token.expired', message: 'It has ended.' } });
  const error = await explainRefusal('wss://gw.example/sip', 'jwt');
  expect(fetcher).toHaveBeenCalledWith(
    'https://gw.example/sip',
    expect.objectContaining({ headers: { Authorization: 'Bearer jwt' }, credentials: 'omit' }),
  );
  expect(error).toMatchObject({
    code: 'token.expired',
    message: 'It has ended.',
    gatewayCode: 'token.expired',
  });
});

test.each([
  [401, 'token.invalid', 'token.refused'],
  [403, 'account.suspended', 'gateway.forbidden'],
  [403, 'origin.not_allowed', 'gateway.forbidden'],
  [429, 'sessions.limit_reached', 'gateway.rate_limited'],
  [503, 'gateway.overloaded', 'gateway.draining'],
  [503, 'a.later_code', 'gateway.draining'],
])('%d %s is %s', async (status, gatewayCode, code) => {
  answers(status, { error: { code: gatewayCode } }, { 'Retry-After': '3' });
  const error = await explainRefusal('ws://127.0.0.1:5066', 'jwt');
  expect(error.retryAfterMs).toBe(3000);
  expect(error.gatewayCode).toBe(gatewayCode);
  expect(error.code).toBe(code);
});

test('a handshake that would succeed now is worth another try', async () => {
  answers(204);
  expect(await explainRefusal('ws://gw', 'jwt')).toMatchObject({
    code: 'gateway.unreachable',
    retryable: true,
  });
});

test('no answer is said with the host, and with the browser’s rule for private ones', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed')));
  expect((await explainRefusal('wss://gw.example', 'jwt')).message).toContain('gw.example');
  expect((await explainRefusal('ws://192.168.1.9:5066', 'jwt')).message).toContain(
    'private network',
  );
});

test('the address is what the page said, else what came with the token', () => {
  expect(gatewayAddress('wss://a.example/sip', 'wss://b.example')).toBe('wss://a.example/sip');
  expect(gatewayAddress(undefined, 'wss://b.example/')).toBe('wss://b.example/');
  expect(() => gatewayAddress(undefined, undefined)).toThrow('gatewayUrl');
  expect(() => gatewayAddress('https://a.example', undefined)).toThrow('wss://');
});
