import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { checkDigits, sendDigits } from '../src/media/digits.js';

class FakeDtmf extends EventTarget {
  canInsertDTMF = true;
  readonly played: [string, number][] = [];

  insertDTMF(tones: string): void {
    this.played.push([tones, Date.now()]);
  }

  done(): void {
    this.dispatchEvent(Object.assign(new Event('tonechange'), { tone: '' }));
  }
}

let dtmf: FakeDtmf;
let pc: RTCPeerConnection;
let life: AbortController;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  dtmf = new FakeDtmf();
  life = new AbortController();
  const sender = { track: { kind: 'audio' }, dtmf };
  pc = { getSenders: () => [sender] } as unknown as RTCPeerConnection;
});
afterEach(() => {
  vi.useRealTimers();
});

test('w parts the tones and waits half a second', async () => {
  const sent = sendDigits(pc, '12w#', {}, life.signal);
  await vi.advanceTimersByTimeAsync(340);
  dtmf.done();
  await vi.advanceTimersByTimeAsync(500);
  dtmf.done();
  await sent;
  expect(dtmf.played).toEqual([
    ['12', 0],
    ['#', 840],
  ]);
});

test('the end of the call ends the waiting', async () => {
  const sent = expect(sendDigits(pc, '1', {}, life.signal)).rejects.toMatchObject({
    code: 'call.state',
  });
  life.abort();
  await sent;
});

test('a side that takes no digits is told apart', async () => {
  dtmf.canInsertDTMF = false;
  await expect(sendDigits(pc, '1', {}, life.signal)).rejects.toMatchObject({
    code: 'media.negotiation',
  });
});

test('what is no digit is refused', () => {
  expect(() => {
    checkDigits('12x');
  }).toThrow('Digits are');
});
