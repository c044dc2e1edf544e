import { SautikitError } from '../error.js';
import { Backoff } from '../backoff.js';
import type { Token } from './token.js';
import type { TokenSource } from './token-source.js';

/** A token is renewed at this part of its life, a little earlier by chance. */
const RENEW_AT = 0.8;
const JITTER = 0.05;

/** What the renewal tells. */
export interface RenewalHandlers {
  renewed(token: Token): void;
  /** A try failed; the next follows while the old token lasts. */
  failed(error: SautikitError, remainingMs: number): void;
}

/** Fetches the next token before the one in hand ends, again and again. */
export class TokenRenewal {
  readonly #tokens: TokenSource;
  readonly #handlers: RenewalHandlers;
  readonly #backoff = new Backoff({ firstMs: 1000, stepMs: 1000, topMs: 15_000 });
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(tokens: TokenSource, handlers: RenewalHandlers) {
    this.#tokens = tokens;
    this.#handlers = handlers;
  }

  /** Counts from `token`, which has just come. */
  schedule(token: Token): void {
    this.#backoff.reset();
    const early = 1 - Math.random() * JITTER;
    const used = token.lifeMs - token.remainingMs(Date.now());
    this.#arm(token, Math.max(0, token.lifeMs * RENEW_AT * early - used));
  }

  /** No further tries. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #arm(token: Token, delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#renew(token), delayMs);
  }

  async #renew(old: Token): Promise<void> {
    try {
      const token = await this.#tokens.fetch('renew');
      if (!this.#stopped) {
        this.schedule(token);
        this.#handlers.renewed(token);
      }
    } catch (error) {
      if (!this.#stopped) {
        this.#handlers.failed(
          SautikitError.from(error, 'token.unavailable'),
          old.remainingMs(Date.now()),
        );
        this.#arm(old, this.#backoff.next());
      }
    }
  }
}
