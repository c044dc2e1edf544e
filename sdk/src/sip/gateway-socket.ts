import { Backoff } from '../backoff.js';
import { SautikitError } from '../error.js';
import { errorOfCloseCode } from '../gateway/codes.js';

/** The keep-alive of RFC 5626: two line ends ask, one answers. */
const PING = '\r\n\r\n';
const PING_EVERY_MS = 20_000;
const PONG_LIMIT_MS = 5000;
const CONNECT_LIMIT_MS = 5000;
/** A connection that lasted this long lets the next loss start with short waits again. */
const STABLE_MS = 10_000;
/** Fresh tokens refused one after the other, before the socket gives up. */
const REFUSED_MAX = 3;

/** The user leaves: the gateway hangs up at once. */
const CLOSE_LEAVE = 1000;
/** We mean to come back: the gateway keeps what it can. */
const CLOSE_RETURN = 4000;

/** What the socket needs and whom it tells. */
export interface GatewaySocketOptions {
  url: string;
  /** A token for the next handshake. */
  token(): Promise<string>;
  /** The gateway refused the token of the last handshake. */
  tokenRefused(): void;
  /** Why a handshake that a browser saw only as 1006 failed. */
  explain(url: string, token: string): Promise<SautikitError>;
  /** A connection is open. */
  opened(): void;
  /** A try failed or a connection was lost; the next try follows in `delayMs`. */
  retrying(error: SautikitError, attempt: number, delayMs: number): void;
  /** The socket has given up. */
  gaveUp(error: SautikitError): void;
}

/**
 * The WebSocket to the gateway, in the shape that JsSIP wants of a socket. It dials with a token
 * in the subprotocol list (so none stands in a URL), dials again by itself after a loss, and
 * proves the connection by a ping: a half-open socket looks open to a browser for minutes.
 */
export class GatewaySocket {
  readonly url: string;
  readonly sip_uri: string;
  via_transport: string;

  // Set by JsSIP.
  onconnect: () => void = () => undefined;
  ondisconnect: (error: boolean, code?: number, reason?: string) => void = () => undefined;
  ondata: (data: unknown) => void = () => undefined;

  readonly #options: GatewaySocketOptions;
  readonly #backoff = new Backoff({ firstMs: 300, stepMs: 500, topMs: 15_000 });
  #wanted = false;
  #ws: WebSocket | undefined;
  #open = false;
  #refused = 0;
  /** Changes with each dial, so that what belongs to an earlier one is not taken for this one's. */
  #dialed = 0;
  #redial: ReturnType<typeof setTimeout> | undefined;
  #limit: ReturnType<typeof setTimeout> | undefined;
  #stable: ReturnType<typeof setTimeout> | undefined;
  #pinger: ReturnType<typeof setInterval> | undefined;
  #pong: ReturnType<typeof setTimeout> | undefined;

  constructor(options: GatewaySocketOptions) {
    const url = new URL(options.url);
    this.url = options.url;
    this.sip_uri = `sip:${url.host};transport=ws`;
    this.via_transport = url.protocol === 'wss:' ? 'WSS' : 'WS';
    this.#options = options;
  }

  // JsSIP refuses an async function here: it compares with '[object Function]'.
  connect(): void {
    if (!this.#wanted) {
      this.#wanted = true;
      this.#dial();
    }
  }

  /** Leaves: no further dial. */
  disconnect(): void {
    this.#wanted = false;
    this.#dialed += 1;
    clearTimeout(this.#redial);
    this.#drop(CLOSE_LEAVE);
  }

  send(data: unknown): boolean {
    if (!this.#open || typeof data !== 'string') {
      return false;
    }
    this.#ws?.send(data);
    return true;
  }

  isConnected(): boolean {
    return this.#open;
  }

  isConnecting(): boolean {
    return this.#wanted && !this.#open;
  }

  /**
   * Something may have changed (network, sleep): proves an open connection within `limitMs`, or
   * dials at once where a wait is on.
   */
  check(limitMs: number): void {
    if (this.#open) {
      this.#ping(limitMs);
    } else if (this.#redial !== undefined) {
      this.#dial();
    }
  }

  /** Gives this connection up and dials a new one. */
  replace(error: SautikitError): void {
    if (this.#wanted) {
      this.#gone(error, CLOSE_RETURN);
    }
  }

  #dial(): void {
    clearTimeout(this.#redial);
    this.#redial = undefined;
    this.#dialed += 1;
    const dialed = this.#dialed;
    this.#options.token().then(
      (token) => {
        if (dialed === this.#dialed) {
          this.#openSocket(token);
        }
      },
      (error: unknown) => {
        if (dialed === this.#dialed) {
          this.#again(SautikitError.from(error, 'token.unavailable'));
        }
      },
    );
  }

  #openSocket(token: string): void {
    let ws: WebSocket;
    try {
      ws = new WebSocket(this.url, ['sip', `token.${token}`]);
    } catch (cause) {
      this.#giveUp(new SautikitError('gateway.unreachable', { cause, fatal: true }));
      return;
    }
    this.#ws = ws;
    ws.binaryType = 'arraybuffer';
    this.#limit = setTimeout(() => {
      this.#drop(CLOSE_RETURN);
      void this.#explain(token);
    }, CONNECT_LIMIT_MS);
    ws.onopen = () => {
      this.#opened();
    };
    ws.onclose = ({ code, reason }) => {
      if (this.#open) {
        this.#gone(errorOfCloseCode(code, reason), CLOSE_RETURN);
      } else {
        this.#drop(CLOSE_RETURN);
        void this.#explain(token);
      }
    };
    ws.onmessage = ({ data }) => {
      this.#proven();
      this.ondata(data);
    };
  }

  #opened(): void {
    clearTimeout(this.#limit);
    this.#open = true;
    this.#stable = setTimeout(() => {
      this.#refused = 0;
      this.#backoff.reset();
    }, STABLE_MS);
    this.#pinger = setInterval(() => {
      this.#ping(PONG_LIMIT_MS);
    }, PING_EVERY_MS);
    this.#options.opened();
    this.onconnect();
  }

  #ping(limitMs: number): void {
    if (this.send(PING)) {
      this.#pong ??= setTimeout(() => {
        this.#gone(errorOfCloseCode(1006, ''), CLOSE_RETURN);
      }, limitMs);
    }
  }

  #proven(): void {
    clearTimeout(this.#pong);
    this.#pong = undefined;
  }

  async #explain(token: string): Promise<void> {
    const dialed = this.#dialed;
    const error = await this.#options.explain(this.url, token);
    if (dialed === this.#dialed) {
      this.#again(error);
    }
  }

  /** An open connection ended. */
  #gone(error: SautikitError, code: number): void {
    const wasOpen = this.#open;
    this.#drop(code);
    if (wasOpen) {
      this.ondisconnect(true, 1006, error.code);
    }
    this.#again(error);
  }

  #again(error: SautikitError): void {
    if (!this.#wanted) {
      return;
    }
    let judged = error;
    if (error.code === 'token.refused' || error.code === 'token.expired') {
      this.#refused += 1;
      this.#options.tokenRefused();
      if (this.#refused >= REFUSED_MAX) {
        judged = new SautikitError('token.refused', { cause: error });
      }
    }
    // A refused token is no end: the next one may be good (keys are rotated).
    if (judged.fatal && (judged.code !== 'token.refused' || this.#refused >= REFUSED_MAX)) {
      this.#giveUp(judged);
      return;
    }
    const delayMs = Math.max(this.#backoff.next(), judged.retryAfterMs ?? 0);
    this.#redial = setTimeout(() => {
      this.#dial();
    }, delayMs);
    this.#options.retrying(judged, this.#backoff.tries, delayMs);
  }

  #giveUp(error: SautikitError): void {
    this.disconnect();
    this.#options.gaveUp(error);
  }

  #drop(code: number): void {
    clearTimeout(this.#limit);
    clearTimeout(this.#stable);
    clearInterval(this.#pinger);
    this.#proven();
    this.#open = false;
    const ws = this.#ws;
    this.#ws = undefined;
    if (ws) {
      ws.onopen = ws.onclose = ws.onmessage = null;
      ws.close(code);
    }
  }
}
