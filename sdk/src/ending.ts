import type { EndCause, EndedEvent } from './call-events.js';
import { SautikitError } from './error.js';
import type { ErrorCode } from './error-code.js';
import { errorOfGatewayCode, retryAfterMs } from './gateway/codes.js';
import type { SessionEnd, SipMessage } from './sip/port.js';

/** What ended a call, in the page's words. `hungUp`: this page had asked for it. */
export function endingOf(end: SessionEnd, hungUp: boolean, duration: number): EndedEvent {
  if (hungUp && end.by === 'local') {
    return { cause: end.phase === 'ended' ? 'hangup' : 'canceled', by: 'local', duration };
  }
  if (end.fault !== undefined) {
    return faulty(end, duration);
  }
  const message = end.message;
  const refused = message && gatewayError(message);
  if (refused) {
    const silent = refused.gatewayCode === 'calls.no_answer';
    if (silent) {
      return { cause: 'no_answer', by: 'gateway', duration, ...sipOf(message) };
    }
    return { cause: 'failed', by: 'gateway', duration, error: refused, ...sipOf(message) };
  }
  const cut = end.phase === 'ended' && message ? cutBy(message) : undefined;
  if (cut) {
    return { cause: 'hangup', by: 'gateway', duration, error: cut };
  }
  if (end.phase === 'ended') {
    return { cause: 'hangup', by: end.by === 'remote' ? 'remote' : 'local', duration };
  }
  // JsSIP cancels by itself what rings when its socket is gone, and says no more.
  return message
    ? refusedBySip(message, duration)
    : faulty({ ...end, fault: 'connection' }, duration);
}

/** Why the gateway hung up by a rule of its own (a Reason of RFC 3326), where its BYE says so. */
function cutBy(message: SipMessage): SautikitError | undefined {
  const reason = message.header('Reason') ?? '';
  const cause = /^SIP\s*;.*\bcause=(\d{3})/i.exec(reason)?.[1];
  const text = /;\s*text="([^"]*)"/i.exec(reason)?.[1];
  switch (cause) {
    case '402':
      return new SautikitError('wallet.insufficient_funds', {
        message: 'The balance is used up. Top up to call again.',
      });
    case '480':
    case '503':
    case '504':
      return new SautikitError('gateway.ended', {
        message: `${text ?? 'The gateway ended the call'}.`,
      });
    default:
      return undefined;
  }
}

/** The signalling connection, not the sound, took the call with it. */
export function connectionLost(): SautikitError {
  return new SautikitError('gateway.unreachable', {
    message: 'The connection to the phone gateway was lost during the call. Call again.',
  });
}

function faulty(end: SessionEnd, duration: number): EndedEvent {
  const sip = end.message ? sipOf(end.message) : {};
  switch (end.fault) {
    case 'connection':
      return {
        cause: 'connection_lost',
        by: 'local',
        duration,
        error: connectionLost(),
      };
    case 'timeout':
      return {
        cause: 'failed',
        by: 'gateway',
        duration,
        error: new SautikitError('gateway.unreachable', {
          message: 'The phone gateway did not answer in time. Try again.',
        }),
      };
    default:
      return {
        cause: 'failed',
        by: 'local',
        duration,
        error: new SautikitError('media.negotiation'),
        ...sip,
      };
  }
}

/** An answer without a gateway's code comes from the other network. */
function refusedBySip(message: SipMessage, duration: number): EndedEvent {
  const [cause, code] = verdict(message.code);
  const ended: EndedEvent = { cause, by: 'remote', duration, ...sipOf(message) };
  return code === undefined
    ? ended
    : {
        ...ended,
        error: new SautikitError(code, { message: warningText(message), ...sipOf(message) }),
      };
}

function verdict(code: number): [EndCause, ErrorCode?] {
  switch (code) {
    case 486:
    case 600:
      return ['busy'];
    case 408:
    case 480:
      return ['no_answer'];
    case 487:
      return ['canceled'];
    case 603:
    case 607:
    case 608:
      return ['rejected'];
    case 401:
      return ['failed', 'token.expired'];
    case 402:
      return ['failed', 'wallet.insufficient_funds'];
    case 404:
    case 410:
    case 604:
      return ['failed', 'call.not_found'];
    case 484:
      return ['failed', 'call.invalid_number'];
    case 488:
    case 606:
      return ['failed', 'media.negotiation'];
    default:
      return ['failed', 'call.failed'];
  }
}

/** The gateway's own refusal: its code, its text, its wish to wait. */
export function gatewayError(message: SipMessage): SautikitError | undefined {
  const gatewayCode = message.header('X-Sautikit-Error');
  return gatewayCode === undefined || gatewayCode === ''
    ? undefined
    : errorOfGatewayCode(gatewayCode, 'call.failed', {
        message: warningText(message),
        retryAfterMs: retryAfterMs(message.header('Retry-After')),
        ...sipOf(message),
      });
}

/** The text of `Warning: 399 gateway "text"`. */
function warningText(message: SipMessage): string | undefined {
  const text = /^\s*399\s+\S+\s+"((?:[^"\\]|\\.)*)"/.exec(message.header('Warning') ?? '')?.[1];
  return text?.replace(/\\(.)/g, '$1');
}

function sipOf(message: SipMessage): { sip?: { code: number; reason: string } } {
  return message.code === 0 ? {} : { sip: { code: message.code, reason: message.reason } };
}
