import { SautikitError } from '../error.js';
import { Token, type TokenAnswer } from './token.js';

/** Why a token is wanted. */
export type TokenReason = 'connect' | 'renew' | 'refused';

/** What `getToken` is told. */
export interface TokenContext {
  reason: TokenReason;
  signal: AbortSignal;
}

/** Gives a token, from wherever the page has it. */
export type TokenFetcher = (context: TokenContext) => Promise<TokenAnswer | string>;

/** How long a token may take to come. */
const FETCH_LIMIT_MS = 10_000;

/**
 * Keeps one token in hand and fetches the next: one request at a time, whoever asks (single
 * flight), so that a reconnect never waits for the page's server without need.
 */
export class TokenSource {
  readonly #fetcher: TokenFetcher;
  #token: Token | undefined;
  #flight: Promise<Token> | undefined;
  #abort = new AbortController();

  constructor(fetcher: TokenFetcher) {
    this.#fetcher = fetcher;
  }

  /** The token in hand, if a handshake may use it. */
  get current(): Token | undefined {
    return this.#token?.isUsable(Date.now()) ? this.#token : undefined;
  }

  /** The token in hand, else a fetched one. */
  ready(reason: TokenReason): Promise<Token> {
    return this.current ? Promise.resolve(this.current) : this.fetch(reason);
  }

  /** A new token, whatever is in hand; joins a request that is already under way. */
  fetch(reason: TokenReason): Promise<Token> {
    if (this.#flight) {
      return this.#flight;
    }
    const flight = this.#fetch(reason).finally(() => {
      if (this.#flight === flight) {
        this.#flight = undefined;
      }
    });
    this.#flight = flight;
    return flight;
  }

  /** The gateway refused the token in hand: the next one must be fetched. */
  drop(): void {
    this.#token = undefined;
  }

  /** Gives up a request that is under way. */
  close(): void {
    this.#flight = undefined;
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  async #fetch(reason: TokenReason): Promise<Token> {
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(FETCH_LIMIT_MS)]);
    try {
      const answer = await Promise.race([this.#fetcher({ reason, signal }), aborted(signal)]);
      this.#token = new Token(answer, Date.now());
      return this.#token;
    } catch (error) {
      throw SautikitError.from(error, 'token.unavailable');
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => {
      reject(new SautikitError('token.unavailable', { cause: signal.reason }));
    };
    if (signal.aborted) {
      fail();
    }
    signal.addEventListener('abort', fail, { once: true });
  });
}
