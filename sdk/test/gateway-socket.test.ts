import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SautikitError } from '../src/error.js';
import { GatewaySocket } from '../src/sip/gateway-socket.js';
import { FakeWebSocket } from './fakes/fake-web-socket.js';

let tokens: number;
let explanation: SautikitError;

beforeEach(() => {
  vi.useFakeTimers();
  FakeWebSocket.all = [];
  vi.stubGlobal('WebSocket', FakeWebSocket);
  tokens = 0;
  explanation = new SautikitError('gateway.unreachable');
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function rig() {
  const told = { opened: vi.fn(), retrying: vi.fn(), gaveUp: vi.fn(), tokenRefused: vi.fn() };
  const socket = new GatewaySocket({
    ...told,
    url: 'wss://gw.example:5066/sip',
    token: () => {
      tokens += 1;
      return Promise.resolve(`t${tokens}`);
    },
    explain: () => Promise.resolve(explanation),
  });
  const jssip = { connect: vi.fn(), disconnect: vi.fn(), data: vi.fn() };
  socket.onconnect = jssip.connect;
  socket.ondisconnect = jssip.disconnect;
  socket.ondata = jssip.data;
  return { socket, told, jssip };
}

async function settle(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

async function open(rigged: ReturnType<typeof rig>): Promise<FakeWebSocket> {
  rigged.socket.connect();
  await settle();
  FakeWebSocket.last.open();
  return FakeWebSocket.last;
}

test('is what JsSIP takes for a socket: plain functions and the scheme’s transport', () => {
  const { socket } = rig();
  expect(Object.prototype.toString.call(Reflect.get(socket, 'connect'))).toBe('[object Function]');
  expect(socket.via_transport).toBe('WSS');
  expect(socket.sip_uri).toBe('sip:gw.example:5066;transport=ws');
});

test('the token travels as a subprotocol, never in the address', async () => {
  const rigged = rig();
  const ws = await open(rigged);
  expect(ws.protocols).toEqual(['sip', 'token.t1']);
  expect(ws.url).toBe('wss://gw.example:5066/sip');
  expect(rigged.jssip.connect).toHaveBeenCalledOnce();
});

test('each dial takes its own token; JsSIP hears only of connections that were open', async () => {
  const rigged = rig();
  rigged.socket.connect();
  await settle();
  FakeWebSocket.last.drop();
  await settle(300);
  expect(FakeWebSocket.last.protocols).toEqual(['sip', 'token.t2']);
  expect(rigged.jssip.disconnect).not.toHaveBeenCalled();
  FakeWebSocket.last.open();
  FakeWebSocket.last.drop(4503);
  expect(rigged.jssip.disconnect).toHaveBeenCalledOnce();
  expect(rigged.told.retrying.mock.calls.at(-1)?.[0]).toMatchObject({ code: 'gateway.draining' });
});

test('Retry-After is the least wait', async () => {
  explanation = new SautikitError('gateway.rate_limited', { retryAfterMs: 7000 });
  const rigged = rig();
  rigged.socket.connect();
  await settle();
  FakeWebSocket.last.drop();
  await settle(6999);
  expect(FakeWebSocket.all).toHaveLength(1);
  await settle(1);
  expect(FakeWebSocket.all).toHaveLength(2);
});

test('4429 carries its wait in the reason', async () => {
  const rigged = rig();
  (await open(rigged)).drop(4429, '4');
  await settle();
  expect(rigged.told.retrying.mock.calls[0]?.[0]).toMatchObject({ retryAfterMs: 4000 });
});

test('a refusal that no waiting cures ends it', async () => {
  const rigged = rig();
  (await open(rigged)).drop(4403);
  expect(rigged.told.gaveUp.mock.calls[0]?.[0]).toMatchObject({ code: 'gateway.forbidden' });
  await settle(60_000);
  expect(FakeWebSocket.all).toHaveLength(1);
});

test('a refused token is replaced, three times at most', async () => {
  explanation = new SautikitError('token.refused');
  const rigged = rig();
  rigged.socket.connect();
  for (let tries = 0; tries < 5; tries += 1) {
    await settle(2000);
    FakeWebSocket.last.drop();
  }
  await settle(60_000);
  expect(FakeWebSocket.all).toHaveLength(3);
  expect(rigged.told.tokenRefused).toHaveBeenCalledTimes(3);
  expect(rigged.told.gaveUp).toHaveBeenCalledOnce();
});

describe('keep-alive', () => {
  test('pings every 20 s; any byte is an answer', async () => {
    const rigged = rig();
    const ws = await open(rigged);
    ws.answer = (message) => (message === '\r\n\r\n' ? '\r\n' : undefined);
    await settle(60_000);
    expect(ws.sent).toEqual(['\r\n\r\n', '\r\n\r\n', '\r\n\r\n']);
    expect(ws.closedWith).toBeUndefined();
  });

  test('a half-open socket is given up 5 s after the ping and dialled again', async () => {
    const rigged = rig();
    const ws = await open(rigged);
    await settle(24_999);
    expect(ws.closedWith).toBeUndefined();
    await settle(1);
    expect(ws.closedWith).toBe(4000);
    expect(rigged.jssip.disconnect).toHaveBeenCalledOnce();
    await settle(300);
    expect(FakeWebSocket.all).toHaveLength(2);
  });

  test('check() proves an open socket at once and cuts a wait short', async () => {
    const rigged = rig();
    const ws = await open(rigged);
    rigged.socket.check(1500);
    await settle(1500);
    expect(ws.closedWith).toBe(4000);
    const dialled = FakeWebSocket.all.length;
    rigged.socket.check(1500);
    await settle();
    expect(FakeWebSocket.all.length).toBe(dialled + 1);
  });
});

test('a handshake that hangs is given up after 5 s', async () => {
  const rigged = rig();
  rigged.socket.connect();
  await settle(5000);
  expect(FakeWebSocket.all[0]?.closedWith).toBe(4000);
  await settle(300);
  expect(FakeWebSocket.all).toHaveLength(2);
});

test('disconnect() leaves with 1000 and dials no more', async () => {
  const rigged = rig();
  const ws = await open(rigged);
  rigged.socket.disconnect();
  expect(ws.closedWith).toBe(1000);
  expect(rigged.socket.send('x')).toBe(false);
  await settle(60_000);
  expect(FakeWebSocket.all).toHaveLength(1);
});
