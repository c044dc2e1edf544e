import { expect, test } from 'vitest';
import { endingOf } from '../src/ending.js';
import type { SessionEnd, SipMessage } from '../src/sip/port.js';

function answer(code: number, headers: Record<string, string> = {}): SipMessage {
  return { code, reason: 'Reason', body: '', header: (name) => headers[name] };
}

function end(part: Partial<SessionEnd>): SessionEnd {
  return { phase: 'failed', by: 'remote', fault: undefined, message: undefined, ...part };
}

test.each([
  ['SIP;cause=402;text="The balance is used up"', 'wallet.insufficient_funds', /top up/i],
  ['SIP;cause=480;text="The longest call is over"', 'gateway.ended', /longest call is over\.$/],
  ['SIP ;cause=503', 'gateway.ended', /gateway ended/],
])('a BYE with %s is the gateway’s own', (reason, code, words) => {
  const message = answer(0, { Reason: reason });
  const ended = endingOf(end({ phase: 'ended', message }), false, 9);
  expect(ended).toMatchObject({ cause: 'hangup', by: 'gateway', duration: 9, error: { code } });
  expect(ended.error?.message).toMatch(words);
});

test('a call that rang out was not answered, whoever says so', () => {
  const message = answer(480, { 'X-Sautikit-Error': 'calls.no_answer' });
  const ended = endingOf(end({ message }), false, 0);
  expect(ended).toMatchObject({ cause: 'no_answer', by: 'gateway' });
  expect(ended.error).toBeUndefined();
});

test('a BYE with a carrier’s reason is the other side’s', () => {
  const message = answer(0, { Reason: 'Q.850;cause=16;text="Terminated"' });
  const ended = endingOf(end({ phase: 'ended', message }), false, 9);
  expect(ended).toEqual({ cause: 'hangup', by: 'remote', duration: 9 });
});

test.each([
  [486, 'busy', undefined],
  [600, 'busy', undefined],
  [480, 'no_answer', undefined],
  [408, 'no_answer', undefined],
  [487, 'canceled', undefined],
  [603, 'rejected', undefined],
  [404, 'failed', 'call.not_found'],
  [484, 'failed', 'call.invalid_number'],
  [488, 'failed', 'media.negotiation'],
  [503, 'failed', 'call.failed'],
])('the other network’s %d is %s', (code, cause, error) => {
  const ended = endingOf(end({ message: answer(code) }), false, 0);
  expect(ended).toMatchObject({ cause, by: 'remote', sip: { code } });
  expect(ended.error?.code).toBe(error);
});

test.each([
  [402, 'wallet.insufficient_funds', 'wallet.insufficient_funds'],
  [403, 'numbers.not_claimed', 'call.from_not_allowed'],
  [403, 'calls.limit_reached', 'call.too_many'],
  [404, 'calls.no_rate', 'call.no_route'],
  [480, 'calls.not_reachable', 'call.not_found'],
  [488, 'a.later_code', 'call.failed'],
  [503, 'gateway.draining', 'gateway.draining'],
])('the gateway’s own %d %s is %s, in its words', (status, gatewayCode, code) => {
  const message = answer(status, {
    'X-Sautikit-Error': gatewayCode,
    Warning: '399 sip.sautikit.local "Say \\"this\\" to the user."',
    'Retry-After': '2',
  });
  const ended = endingOf(end({ message }), false, 0);
  expect(ended).toMatchObject({ cause: 'failed', by: 'gateway', sip: { code: status } });
  expect(ended.error).toMatchObject({
    code,
    gatewayCode,
    message: 'Say "this" to the user.',
    retryAfterMs: 2000,
  });
});

test('who hung up is told apart', () => {
  expect(endingOf(end({ by: 'local' }), true, 0)).toMatchObject({ cause: 'canceled', by: 'local' });
  expect(endingOf(end({ by: 'local', phase: 'ended' }), true, 7)).toMatchObject({
    cause: 'hangup',
    duration: 7,
  });
  expect(endingOf(end({ phase: 'ended', message: answer(0) }), false, 3)).toEqual({
    cause: 'hangup',
    by: 'remote',
    duration: 3,
  });
});

test('a call that the gateway cuts says why', () => {
  const message = answer(0, { 'X-Sautikit-Error': 'wallet.insufficient_funds' });
  expect(endingOf(end({ phase: 'ended', message }), false, 20)).toMatchObject({
    by: 'gateway',
    error: { code: 'wallet.insufficient_funds' },
  });
});

test('faults of the line have codes of their own', () => {
  expect(endingOf(end({ by: 'system', fault: 'connection' }), false, 0).cause).toBe(
    'connection_lost',
  );
  expect(endingOf(end({ by: 'local' }), false, 0)).toMatchObject({
    cause: 'connection_lost',
    error: { code: 'gateway.unreachable' },
  });
  expect(endingOf(end({ by: 'system', fault: 'timeout' }), false, 0).error?.code).toBe(
    'gateway.unreachable',
  );
  expect(endingOf(end({ by: 'local', fault: 'media' }), false, 0).error?.code).toBe(
    'media.negotiation',
  );
});
