import { SautikitError, type ErrorDetails } from '../error.js';
import type { ErrorCode } from '../error-code.js';

/** The gateway's codes (JSON `error.code`, `X-Sautikit-Error`) in the SDK's words. */
const BY_GATEWAY_CODE: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ['token.invalid', 'token.refused'],
  ['token.expired', 'token.expired'],
  ['token.not_allowed', 'call.destination_not_allowed'],
  ['account.unknown', 'gateway.forbidden'],
  ['account.suspended', 'gateway.forbidden'],
  ['origin.not_allowed', 'gateway.forbidden'],
  ['handshake.subprotocol', 'gateway.protocol'],
  ['handshake.too_large', 'gateway.protocol'],
  ['handshake.malformed', 'gateway.protocol'],
  ['handshake.rate_limited', 'gateway.rate_limited'],
  ['sessions.limit_reached', 'gateway.rate_limited'],
  ['session.rate_limited', 'gateway.rate_limited'],
  ['calls.rate_limited', 'gateway.rate_limited'],
  ['gateway.draining', 'gateway.draining'],
  ['gateway.overloaded', 'gateway.draining'],
  ['gateway.internal', 'call.failed'],
  ['numbers.not_claimed', 'call.from_not_allowed'],
  ['calls.destination_not_allowed', 'call.destination_not_allowed'],
  ['calls.invalid_number', 'call.invalid_number'],
  ['calls.unknown_identity', 'call.not_found'],
  ['calls.not_reachable', 'call.not_found'],
  ['calls.no_rate', 'call.no_route'],
  ['calls.no_route', 'call.no_route'],
  ['calls.carrier_media', 'call.no_route'],
  ['calls.media_not_acceptable', 'media.negotiation'],
  ['calls.limit_reached', 'call.too_many'],
  ['wallet.insufficient_funds', 'wallet.insufficient_funds'],
  ['wallet.unavailable', 'wallet.unavailable'],
]);

/** The error for a gateway's code; one that this version does not know counts as `fallback`. */
export function errorOfGatewayCode(
  gatewayCode: string,
  fallback: ErrorCode,
  details: ErrorDetails = {},
): SautikitError {
  // A SIP request that the gateway could not take: a mistake of this library's, not of its user's.
  const known = gatewayCode.startsWith('request.') ? 'gateway.protocol' : undefined;
  const code = BY_GATEWAY_CODE.get(gatewayCode) ?? known ?? fallback;
  return new SautikitError(code, { ...details, gatewayCode });
}

/** `Retry-After` in milliseconds; dates are not used by the gateway. */
export function retryAfterMs(value: string | null | undefined): number | undefined {
  const seconds = Number.parseInt(value ?? '', 10);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

/**
 * What a close code after the handshake means. 4429 carries the seconds to wait in its reason.
 * Anything else (1006 above all) is a lost connection.
 */
export function errorOfCloseCode(code: number, reason: string): SautikitError {
  switch (code) {
    case 4401:
      return new SautikitError('token.expired');
    case 4403:
      return new SautikitError('gateway.forbidden');
    case 4429:
      return new SautikitError('gateway.rate_limited', { retryAfterMs: retryAfterMs(reason) });
    case 4503:
      return new SautikitError('gateway.draining');
    default:
      return new SautikitError('gateway.unreachable', {
        message: 'The connection to the phone gateway was lost.',
      });
  }
}
