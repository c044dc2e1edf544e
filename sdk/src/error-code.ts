/** Every code that a {@link SautikitError} can carry. `wallet.*` codes are those of the HTTP API. */
export type ErrorCode =
  | 'token.unavailable'
  | 'token.refused'
  | 'token.malformed'
  | 'token.expired'
  | 'gateway.unreachable'
  | 'gateway.unauthorized'
  | 'gateway.forbidden'
  | 'gateway.rate_limited'
  | 'gateway.draining'
  | 'gateway.ended'
  | 'gateway.protocol'
  | 'mic.denied'
  | 'mic.not_found'
  | 'mic.in_use'
  | 'mic.failed'
  | 'mic.insecure_context'
  | 'device.not_found'
  | 'call.invalid_number'
  | 'call.from_not_allowed'
  | 'call.destination_not_allowed'
  | 'call.too_many'
  | 'call.not_found'
  | 'call.no_route'
  | 'call.failed'
  | 'call.state'
  | 'wallet.insufficient_funds'
  | 'wallet.unavailable'
  | 'media.negotiation'
  | 'media.connect'
  | 'media.lost'
  | 'client.state'
  | 'unsupported';

/** What a code means unless the place that raises it knows better. */
export interface ErrorFacts {
  /** Cause and next step, in words for a person. */
  readonly text: string;
  /** The client cannot go on by itself. */
  readonly fatal: boolean;
  /** The same again, a little later, may work. */
  readonly retryable: boolean;
}

function facts(text: string, verdict: 'fatal' | 'retry' | 'once' = 'once'): ErrorFacts {
  return { text, fatal: verdict === 'fatal', retryable: verdict === 'retry' };
}

/** One row for each code. */
export const ERROR_FACTS: Readonly<Record<ErrorCode, ErrorFacts>> = {
  'token.unavailable': facts(
    'The server that gives out call tokens does not answer. Try again in a moment.',
    'retry',
  ),
  'token.refused': facts(
    'The call token was refused. Sign in again, or check the API key on your server.',
    'fatal',
  ),
  'token.malformed': facts(
    'What the token address answered is no call token. Check tokenUrl or getToken.',
    'fatal',
  ),
  'token.expired': facts('The call token has expired. Try again: a fresh one is fetched.', 'retry'),
  'gateway.unreachable': facts(
    'The phone gateway cannot be reached. Check the network and the gateway address.',
    'retry',
  ),
  'gateway.unauthorized': facts(
    'The gateway does not accept this session. Sign in again.',
    'fatal',
  ),
  'gateway.forbidden': facts(
    'This workspace or this page may not use the gateway. Ask its operator.',
    'fatal',
  ),
  'gateway.rate_limited': facts('Too many attempts. Wait a moment, then try again.', 'retry'),
  'gateway.draining': facts(
    'The gateway cannot take calls just now. Try again in a moment.',
    'retry',
  ),
  'gateway.ended': facts('The gateway ended the call. Call again.'),
  'gateway.protocol': facts(
    'The gateway gave an answer that was not expected. Try again, or report it to its operator.',
    'retry',
  ),
  'mic.denied': facts(
    'The browser was not allowed to use the microphone. Allow it in the address bar, then call again.',
  ),
  'mic.not_found': facts('No microphone was found. Connect one, then call again.'),
  'mic.in_use': facts(
    'The microphone is in use by another program. Close that program, then call again.',
  ),
  'mic.failed': facts(
    'The microphone could not be started. Unplug it and plug it in again, then call again.',
  ),
  'mic.insecure_context': facts(
    'Browsers give the microphone only to pages on https:// or localhost. Open this page there.',
    'fatal',
  ),
  'device.not_found': facts('The chosen audio device is not connected. Choose another one.'),
  'call.invalid_number': facts(
    'This is not a phone number. Write it with + and the country code, for example +254722000001.',
  ),
  'call.from_not_allowed': facts(
    'The number you call from does not belong to this workspace. Claim it, or choose another.',
  ),
  'call.destination_not_allowed': facts(
    'Calls to this destination are not allowed. Ask the operator of the workspace.',
  ),
  'call.too_many': facts('Too many calls at once. End one, then call again.'),
  'call.not_found': facts('Nobody can be reached under this number. Check it and call again.'),
  'call.no_route': facts('No carrier takes calls to this destination now. Try again later.'),
  'call.failed': facts('The other network could not put the call through. Try again later.'),
  'call.state': facts('The call is not in a state in which this can be done.'),
  'wallet.insufficient_funds': facts(
    'The balance is too low for this call. Top up, then call again.',
  ),
  'wallet.unavailable': facts(
    'The balance cannot be checked just now. Try again in a moment.',
    'retry',
  ),
  'media.negotiation': facts(
    'Browser and gateway found no common way to send sound. Update the browser, then call again.',
  ),
  'media.connect': facts(
    'No sound connection could be made. A firewall may block UDP; try another network.',
  ),
  'media.lost': facts(
    'The sound connection was lost. Check the network, then call again.',
    'retry',
  ),
  'client.state': facts('The client is not connected. Call connect() first.'),
  unsupported: facts(
    'This browser cannot make calls. Use a current Chrome, Edge, Firefox or Safari.',
    'fatal',
  ),
};
