import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SautikitClient, type Call, type EndedEvent } from '../src/index.js';
import { fakeBrowser, FakePeerConnection, FakeStream } from './fakes/browser.js';
import { FakeWebSocket } from './fakes/fake-web-socket.js';
import { header, info, registrar, sipAnswer } from './fakes/gateway.js';
import { mint, WORKSPACE } from './fakes/tokens.js';

const ANSWER = 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 8\r\na=rtpmap:8 PCMA/8000\r\n';
const CONTACT = { Contact: '<sip:gateway@gw.invalid;transport=ws>' };
let microphone: FakeStream;
let minted: string[];

beforeEach(() => {
  vi.useFakeTimers();
  microphone = new FakeStream();
  minted = [];
  fakeBrowser(() => Promise.resolve(microphone));
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('nothing listens')));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function newClient(claims: object = {}): SautikitClient {
  return new SautikitClient({
    gatewayUrl: 'ws://gw.example/',
    getToken: () => {
      minted.push(mint(claims));
      return Promise.resolve(minted.at(-1) ?? '');
    },
  });
}

async function settle(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

async function connected(claims: object = {}): Promise<SautikitClient> {
  const client = newClient(claims);
  const done = client.connect();
  await settle();
  FakeWebSocket.last.answer = registrar;
  FakeWebSocket.last.open();
  await settle();
  await done;
  return client;
}

function sent(method: string): string {
  return FakeWebSocket.last.sent.filter((message) => message.startsWith(`${method} `)).at(-1) ?? '';
}

/** Calls, and lets the INVITE go. */
async function dialled(client: SautikitClient): Promise<{ call: Call; heard: unknown[][] }> {
  const calling = client.call('+254 722 000001', { from: '+254700000001' });
  await settle();
  const call = await calling;
  const heard: unknown[][] = [];
  call.on('ringing', (event) => heard.push(['ringing', event]));
  call.on('answered', (event) => heard.push(['answered', event]));
  call.on('ended', (event) => heard.push(['ended', event]));
  await settle();
  FakePeerConnection.all.at(-1)?.candidate();
  await settle(250);
  return { call, heard };
}

async function reply(
  status: string,
  headers: Record<string, string> = {},
  body = '',
): Promise<void> {
  FakeWebSocket.last.receive(sipAnswer(sent('INVITE'), status, { ...CONTACT, ...headers }, body));
  await settle();
}

/** The next socket opens. */
async function regained(): Promise<void> {
  await settle(300);
  FakeWebSocket.last.answer = registrar;
  FakeWebSocket.last.open();
  await settle();
}

describe('connecting', () => {
  test('registers the token’s user and carries the token', async () => {
    const client = await connected({ identity: 'alice' });
    expect(client.state).toBe('connected');
    expect(header(sent('REGISTER'), 'From')).toContain('sip:alice@');
    expect(header(sent('REGISTER'), 'Authorization')).toBe(`Bearer ${minted[0] ?? ''}`);
  });

  test('without an identity the workspace is the user', async () => {
    await connected();
    expect(header(sent('REGISTER'), 'To')).toContain(WORKSPACE);
  });

  test('says why it cannot, and can be tried again', async () => {
    const client = newClient();
    const failed = expect(client.connect()).rejects.toMatchObject({ code: 'gateway.unreachable' });
    await settle();
    FakeWebSocket.last.drop();
    await settle();
    await failed;
    expect(client.state).toBe('disconnected');
    const done = client.connect();
    await settle();
    FakeWebSocket.last.answer = registrar;
    FakeWebSocket.last.open();
    await settle();
    await done;
  });

  test('a token that had ended is replaced once without a word', async () => {
    const expired = JSON.stringify({ error: { code: 'token.expired' } });
    vi.stubGlobal('fetch', () => Promise.resolve(new Response(expired, { status: 401 })));
    const client = newClient();
    const done = client.connect();
    await settle();
    FakeWebSocket.last.drop();
    await settle(300);
    FakeWebSocket.last.answer = registrar;
    FakeWebSocket.last.open();
    await settle();
    await done;
    expect(minted).toHaveLength(2);
  });

  test('a registrar that says nothing is an error after 10 s', async () => {
    const client = newClient();
    const failed = expect(client.connect()).rejects.toMatchObject({ code: 'gateway.protocol' });
    await settle();
    FakeWebSocket.last.open();
    await settle(10_000);
    await failed;
  });

  test('connect, disconnect, connect in one breath ends connected', async () => {
    const client = newClient();
    const first = expect(client.connect()).rejects.toMatchObject({ code: 'client.state' });
    await client.disconnect();
    const second = client.connect();
    expect(client.connect()).toBe(second);
    await settle();
    FakeWebSocket.last.answer = registrar;
    FakeWebSocket.last.open();
    await settle();
    await first;
    await second;
    expect(FakeWebSocket.all).toHaveLength(1);
  });

  test('the token is renewed in band, on the same socket', async () => {
    await connected();
    await settle(241_000);
    expect(minted).toHaveLength(2);
    expect(FakeWebSocket.all).toHaveLength(1);
    expect(header(sent('REGISTER'), 'Authorization')).toBe(`Bearer ${minted[1] ?? ''}`);
  });

  test('a lost socket is dialled again and registered', async () => {
    const client = await connected();
    const states: string[] = [];
    client.on('reconnecting', ({ error }) => states.push(error.code));
    client.on('connected', ({ resumed }) => states.push(`resumed ${resumed ? 'yes' : 'no'}`));
    FakeWebSocket.last.drop();
    await expect(client.call('+254722000001')).rejects.toMatchObject({
      code: 'gateway.unreachable',
    });
    await settle(300);
    FakeWebSocket.last.answer = registrar;
    FakeWebSocket.last.open();
    await settle();
    expect(states).toEqual(['gateway.unreachable', 'resumed yes']);
    expect(client.state).toBe('connected');
  });

  test('disconnect() unregisters and leaves with 1000', async () => {
    const client = await connected();
    const gone = vi.fn();
    client.on('disconnected', gone);
    const done = client.disconnect();
    await settle();
    await done;
    expect(header(sent('REGISTER'), 'Expires')).toBe('0');
    expect(FakeWebSocket.last.closedWith).toBe(1000);
    expect(gone).toHaveBeenCalledExactlyOnceWith({});
  });
});

describe('a call', () => {
  test('rings, is answered and hung up, with its id and rate', async () => {
    const { call, heard } = await dialled(await connected());
    expect(sent('INVITE')).toMatch(/^INVITE sip:\+254722000001@/);
    expect(header(sent('INVITE'), 'P-Preferred-Identity')).toContain('sip:+254700000001@');
    expect(sent('INVITE')).not.toContain('Session-Expires');
    await reply('180 Ringing');
    expect(call.state).toBe('ringing');
    await reply(
      '200 OK',
      { 'X-Sautikit-Call-Id': 'id-1', 'X-Sautikit-Rate': '300;per=60;increment=1;currency=KES' },
      ANSWER,
    );
    expect(call.state).toBe('answered');
    expect(call.gatewayCallId).toBe('id-1');
    expect(sent('ACK')).not.toBe('');
    await settle(12_000);
    expect(call.rate?.cost(call.duration)).toBe(60);
    await call.hangup();
    expect(sent('BYE')).not.toBe('');
    expect(heard.map(([name]) => name)).toEqual(['ringing', 'answered', 'ended']);
    expect(heard[1]).toEqual(['answered', { codec: 'PCMA' }]);
    expect(heard[2]?.[1]).toMatchObject({ cause: 'hangup', by: 'local', duration: 12 });
    expect(microphone.track.stopped).toBe(true);
  });

  test('tells that the balance ends soon, and of nothing else that comes by INFO', async () => {
    const { call } = await dialled(await connected());
    const warned: unknown[] = [];
    call.on('balanceLow', (event) => warned.push(event));
    await reply('200 OK', {}, ANSWER);
    const body = '{"warning":"balance_low","seconds_left":30}';
    const type = 'application/vnd.sautikit+json';
    for (const [at, [contentType, text]] of [
      [type, body],
      ['application/json', body],
      [type, '{"warning":"other","seconds_left":3}'],
      [type, 'no JSON'],
    ].entries()) {
      FakeWebSocket.last.receive(info(sent('INVITE'), at + 1, contentType ?? '', text ?? ''));
      await settle();
    }
    expect(warned).toEqual([{ secondsLeft: 30 }]);
    const answers = FakeWebSocket.last.sent.filter((message) => message.includes(' INFO\r\n'));
    expect(answers.map((message) => message.slice(8, 11))).toEqual(['200', '200', '200', '200']);
  });

  test('tells early media', async () => {
    const { heard } = await dialled(await connected());
    await reply('180 Ringing');
    await reply('183 Session Progress', {}, ANSWER);
    await reply('180 Ringing');
    expect(heard).toEqual([
      ['ringing', { earlyMedia: false }],
      ['ringing', { earlyMedia: true }],
    ]);
  });

  test('can be canceled while it rings, and ends once', async () => {
    const client = await connected();
    const { call, heard } = await dialled(client);
    await reply('180 Ringing');
    await call.hangup();
    await reply('487 Request Terminated');
    await call.hangup();
    expect(sent('CANCEL')).not.toBe('');
    expect(heard.filter(([name]) => name === 'ended')).toHaveLength(1);
    expect(heard.at(-1)?.[1]).toMatchObject({ cause: 'canceled', by: 'local', duration: 0 });
    expect(client.calls).toEqual([]);
  });

  test('hung up before the INVITE goes, none goes', async () => {
    const client = await connected();
    const call = await client.call('+254722000001');
    await call.hangup();
    await settle(2000);
    expect(call.state).toBe('ended');
    expect(sent('INVITE')).toBe('');
  });

  test('the gateway’s refusal comes with its code and words', async () => {
    const { heard } = await dialled(await connected());
    await reply('402 Payment Required', {
      'X-Sautikit-Error': 'wallet.insufficient_funds',
      Warning: '399 gw "Top up, then call again."',
    });
    expect(heard.at(-1)?.[1]).toMatchObject({
      cause: 'failed',
      by: 'gateway',
      error: { code: 'wallet.insufficient_funds', message: 'Top up, then call again.' },
    });
  });

  test('leaves without any candidate after a second', async () => {
    const client = await connected();
    await client.call('+254722000001');
    await settle(999);
    expect(sent('INVITE')).toBe('');
    await settle(5);
    expect(sent('INVITE')).not.toBe('');
  });

  test('mute silences the microphone track and is told', async () => {
    const { call } = await dialled(await connected());
    const told = vi.fn();
    call.on('muted', told);
    call.mute();
    expect(microphone.track.enabled).toBe(false);
    call.mute(false);
    expect(microphone.track.enabled).toBe(true);
    expect(told.mock.calls).toEqual([[true], [false]]);
  });

  test('ends when the sound connection fails, and says BYE', async () => {
    const { heard } = await dialled(await connected());
    await reply('200 OK', {}, ANSWER);
    const pc = FakePeerConnection.all.at(-1);
    pc?.connection('connected');
    pc?.connection('failed');
    const ended = heard.at(-1)?.[1] as EndedEvent;
    expect(ended).toMatchObject({ cause: 'connection_lost', error: { code: 'media.lost' } });
    expect(sent('BYE')).not.toBe('');
  });

  test('ends 30 s after the loss of its socket, as the gateway ends it, though it is regained', async () => {
    const client = await connected();
    const { call, heard } = await dialled(client);
    await reply('200 OK', {}, ANSWER);
    await settle(2000);
    FakeWebSocket.last.drop();
    await regained();
    await settle(29_600);
    expect(call.state).toBe('answered');
    const { call: later } = await dialled(client);
    await reply('180 Ringing');
    await settle(500);
    const ended = heard.at(-1)?.[1] as EndedEvent;
    expect(ended).toMatchObject({
      cause: 'connection_lost',
      error: { code: 'gateway.unreachable' },
    });
    expect(ended.error?.message).toMatch(/connection to the phone gateway was lost/);
    expect(Math.round(ended.duration)).toBe(32);
    expect(client.state).toBe('connected');
    await settle(40_000);
    expect(later.state).not.toBe('ended');
  });

  test('ends at once with its socket while it rings, as the gateway ends it', async () => {
    const { heard } = await dialled(await connected());
    await reply('180 Ringing');
    FakeWebSocket.last.drop();
    expect(heard.at(-1)?.[1]).toMatchObject({
      cause: 'connection_lost',
      error: { code: 'gateway.unreachable' },
    });
  });

  test('ends 30 s after the first loss of several', async () => {
    const { call } = await dialled(await connected());
    await reply('200 OK', {}, ANSWER);
    FakeWebSocket.last.drop();
    await regained();
    await settle(20_000);
    FakeWebSocket.last.drop();
    await settle(9_000);
    expect(call.state).toBe('answered');
    await settle(1000);
    expect(call.state).toBe('ended');
  });

  test('is hung up by disconnect()', async () => {
    const client = await connected();
    const { heard } = await dialled(client);
    await reply('200 OK', {}, ANSWER);
    const done = client.disconnect();
    await settle();
    await done;
    expect(sent('BYE')).not.toBe('');
    expect(heard.at(-1)?.[1]).toMatchObject({ cause: 'hangup', by: 'local' });
  });

  test.each([
    ['NotAllowedError', 'mic.denied'],
    ['NotFoundError', 'mic.not_found'],
    ['NotReadableError', 'mic.in_use'],
    ['TypeError', 'mic.failed'],
  ])('a microphone’s %s is %s', async (name, code) => {
    fakeBrowser(() => Promise.reject(Object.assign(new Error('no'), { name })));
    const client = await connected();
    await expect(client.call('+254722000001')).rejects.toMatchObject({ code });
  });

  test('wrong numbers, wrong headers and an unconnected client are refused here', async () => {
    const client = newClient();
    await expect(client.call('+254722000001')).rejects.toMatchObject({ code: 'client.state' });
    const up = await connected();
    await expect(up.call('0722')).rejects.toMatchObject({ code: 'call.invalid_number' });
    await expect(
      up.call('+254722000001', { headers: { 'X-A': 'b\r\nTo: c' } }),
    ).rejects.toMatchObject({
      code: 'call.state',
    });
  });
});
