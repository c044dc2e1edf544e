import { SautikitError } from '../error.js';
import type { ErrorCode } from '../error-code.js';
import { errorOfGatewayCode, retryAfterMs } from './codes.js';

/** How long the gateway may take to say why it refused. */
const EXPLAIN_LIMIT_MS = 5000;

const BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [401, 'token.refused'],
  [403, 'gateway.forbidden'],
  [429, 'gateway.rate_limited'],
  [503, 'gateway.draining'],
]);

/**
 * Why a handshake failed. Browsers hide a refused handshake's status (all are close code 1006), so
 * the gateway answers a plain GET on the same address with the status and JSON error that the
 * handshake had, readable across origins.
 */
export async function explainRefusal(url: string, token: string): Promise<SautikitError> {
  let answer: Response;
  try {
    answer = await fetch(url.replace(/^ws/, 'http'), {
      headers: { Authorization: `Bearer ${token}` },
      cache: 'no-store',
      credentials: 'omit',
      signal: AbortSignal.timeout(EXPLAIN_LIMIT_MS),
    });
  } catch (cause) {
    return new SautikitError('gateway.unreachable', { message: unreachable(url), cause });
  }
  if (answer.ok) {
    // The next handshake would succeed: what stopped this one is over.
    return new SautikitError('gateway.unreachable', {
      message: 'The connection to the phone gateway was interrupted. Try again.',
    });
  }
  const body = errorBody(await answer.json().catch(() => undefined));
  return errorOfGatewayCode(body.code, BY_STATUS.get(answer.status) ?? 'gateway.protocol', {
    message: body.message,
    retryAfterMs: retryAfterMs(answer.headers.get('Retry-After')),
  });
}

function errorBody(body: unknown): { code: string; message?: string } {
  const error = (body as { error?: { code?: unknown; message?: unknown } } | undefined)?.error;
  const code = typeof error?.code === 'string' ? error.code : '';
  return typeof error?.message === 'string' ? { code, message: error.message } : { code };
}

function unreachable(url: string): string {
  const host = new URL(url).hostname;
  const text = `The phone gateway at ${host} cannot be reached.`;
  // Chrome 147 and later ask before a public page may open a socket into a private network.
  return isPrivate(host)
    ? `${text} It is on a private network: allow this site to reach local devices, or check the address.`
    : `${text} Check the network and the gateway address.`;
}

function isPrivate(host: string): boolean {
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|\[f[cd])/.test(host);
}
