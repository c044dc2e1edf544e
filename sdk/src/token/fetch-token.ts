import { SautikitError } from '../error.js';
import { errorOfGatewayCode } from '../gateway/codes.js';
import type { TokenAnswer } from './token.js';

/** Asks the page's own server for a token. */
export async function fetchToken(url: string | URL, signal: AbortSignal): Promise<TokenAnswer> {
  let answer: Response;
  try {
    answer = await fetch(url, {
      credentials: 'same-origin',
      cache: 'no-store',
      headers: { Accept: 'application/json' },
      signal,
    });
  } catch (cause) {
    throw new SautikitError('token.unavailable', { cause });
  }
  if (!answer.ok) {
    await throwTheGateways(answer);
  }
  if (answer.status === 401 || answer.status === 403) {
    throw new SautikitError('token.refused', {
      message: `Your server refused a call token (${answer.status}). Sign in again.`,
    });
  }
  if (!answer.ok) {
    throw new SautikitError('token.unavailable', {
      message: `Your server could not give a call token (${answer.status}). Try again in a moment.`,
    });
  }
  try {
    return (await answer.json()) as TokenAnswer;
  } catch (cause) {
    throw new SautikitError('token.malformed', { cause });
  }
}

/** A server that hands the gateway's refusal through (`{"error":{"code","message"}}`) says more than its status. */
async function throwTheGateways(answer: Response): Promise<void> {
  const body = (await answer.json().catch(() => undefined)) as
    { error?: { code?: unknown; message?: unknown } } | null | undefined;
  const { code, message } = body?.error ?? {};
  // A fault of the server's own key is nothing that this page's user could read from.
  if (typeof code === 'string' && typeof message === 'string' && code.startsWith('account.')) {
    throw errorOfGatewayCode(code, 'token.refused', { message: `${message}.` });
  }
}
