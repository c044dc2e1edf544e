import { SautikitError } from './error.js';
import { gatewayError } from './ending.js';
import { explainRefusal } from './gateway/explain.js';
import { retryAfterMs } from './gateway/codes.js';
import { GatewaySocket } from './sip/gateway-socket.js';
import { JsSipPort } from './sip/jssip.js';
import type { SipMessage, SipPort } from './sip/port.js';
import { TokenRenewal } from './token/token-renewal.js';
import type { TokenSource } from './token/token-source.js';
import type { Token } from './token/token.js';

/** How long the first REGISTER on a connection may go without an answer. */
const REGISTER_LIMIT_MS = 10_000;
const CHECK_LIMIT_MS = 1500;
/** Fresh tokens refused in a row before the line gives up. */
const REFUSED_MAX = 3;

/** Whom the line tells. */
export interface LineHandlers {
  /** Registered; `again` after a loss. */
  up(again: boolean): void;
  down(error: SautikitError, attempt: number): void;
  /** It has given up: nothing more comes. */
  gone(error: SautikitError): void;
  /** The token could not be renewed (an error), or could after all (none). */
  renewal(error: SautikitError | undefined, remainingMs: number): void;
}

/**
 * One life of the connection to the gateway: token, socket, registration, renewal. The first
 * failure before it has ever been up ends it; later ones it rides out.
 */
export class Line {
  readonly port: SipPort;
  readonly #socket: GatewaySocket;
  readonly #tokens: TokenSource;
  readonly #handlers: LineHandlers;
  readonly #renewal: TokenRenewal;
  #everUp = false;
  #over = false;
  #refused = 0;
  #register: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, token: Token, tokens: TokenSource, handlers: LineHandlers) {
    this.#tokens = tokens;
    this.#handlers = handlers;
    this.#socket = this.#makeSocket(url);
    this.port = new JsSipPort(this.#socket, token.user, token.value, {
      registered: () => {
        this.#registered();
      },
      registrationRefused: (answer) => {
        this.#registrationRefused(answer);
      },
    });
    this.#renewal = new TokenRenewal(tokens, {
      renewed: (fresh) => {
        this.#take(fresh);
        handlers.renewal(undefined, fresh.lifeMs);
      },
      failed: (error, remainingMs) => {
        handlers.renewal(error, remainingMs);
      },
    });
    this.#renewal.schedule(token);
  }

  open(): void {
    this.port.start();
  }

  /** Hangs up what is left, unregisters and closes. */
  async close(): Promise<void> {
    this.#end();
    await this.port.stop();
  }

  /** A token that was fetched outside the usual turn. */
  renewed(token: Token): void {
    this.#renewal.schedule(token);
    this.#take(token);
  }

  /** The network or the page's visibility changed. */
  check(): void {
    this.#socket.check(CHECK_LIMIT_MS);
  }

  #makeSocket(url: string): GatewaySocket {
    return new GatewaySocket({
      url,
      token: async () => {
        const token = await this.#tokens.ready(this.#refused > 0 ? 'refused' : 'connect');
        this.port.setToken(token.value);
        this.#renewal.schedule(token);
        return token.value;
      },
      tokenRefused: () => {
        this.#refused += 1;
        this.#tokens.drop();
      },
      explain: explainRefusal,
      opened: () => {
        this.#awaitRegistration();
      },
      retrying: (error, attempt) => {
        // A page's server may have cached its token: one more try with a fresh one.
        if (this.#everUp || (error.code === 'token.expired' && this.#refused === 1)) {
          clearTimeout(this.#register);
          this.#handlers.down(error, attempt);
        } else {
          this.#giveUp(error);
        }
      },
      gaveUp: (error) => {
        this.#giveUp(error);
      },
    });
  }

  #registered(): void {
    clearTimeout(this.#register);
    this.#refused = 0;
    const again = this.#everUp;
    this.#everUp = true;
    this.#handlers.up(again);
  }

  #registrationRefused(answer: SipMessage | undefined): void {
    if (this.#over) {
      return;
    }
    const error = registrationError(answer);
    if (answer?.code === 401 && this.#refused < REFUSED_MAX) {
      this.#refused += 1;
      this.#tokens.drop();
      this.#tokens.fetch('refused').then(
        (token) => {
          this.renewed(token);
        },
        (failed: unknown) => {
          this.#giveUp(SautikitError.from(failed, 'token.unavailable'));
        },
      );
    } else if (this.#everUp && error.retryable) {
      this.#socket.replace(error);
    } else {
      this.#giveUp(error);
    }
  }

  /** In-band renewal (RFC 8898): the next REGISTER carries the fresh token. */
  #take(token: Token): void {
    if (!this.#over) {
      this.port.setToken(token.value);
      if (this.#socket.isConnected()) {
        this.port.register();
      }
    }
  }

  #awaitRegistration(): void {
    clearTimeout(this.#register);
    this.#register = setTimeout(() => {
      this.#registrationRefused(undefined);
    }, REGISTER_LIMIT_MS);
  }

  #giveUp(error: SautikitError): void {
    if (!this.#over) {
      this.#end();
      // The calls learn why before the stack lets go of them.
      this.#handlers.gone(error);
      this.#socket.disconnect();
      void this.port.stop();
    }
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#register);
    this.#renewal.stop();
  }
}

function registrationError(answer: SipMessage | undefined): SautikitError {
  if (!answer) {
    return new SautikitError('gateway.protocol', {
      message: 'The phone gateway did not answer the registration. Try again.',
    });
  }
  const sip = { code: answer.code, reason: answer.reason };
  const said = gatewayError(answer);
  switch (answer.code) {
    case 401:
      return said ?? new SautikitError('token.refused', { sip });
    case 403:
      return said ?? new SautikitError('gateway.forbidden', { sip });
    case 503:
      return (
        said ??
        new SautikitError('gateway.draining', {
          sip,
          retryAfterMs: retryAfterMs(answer.header('Retry-After')),
        })
      );
    default:
      return said ?? new SautikitError('gateway.protocol', { sip });
  }
}
