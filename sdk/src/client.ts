import { Call } from './call.js';
import { callerNumber, destinationUser } from './destination.js';
import { Emitter } from './emitter.js';
import { SautikitError } from './error.js';
import { gatewayAddress } from './gateway/address.js';
import { Line } from './line.js';
import { openMicrophone } from './media/microphone.js';
import type { CallOptions, ClientEvents, ClientOptions, ClientState } from './options.js';
import type { Invite } from './sip/port.js';
import { fetchToken } from './token/fetch-token.js';
import { TokenSource } from './token/token-source.js';
import type { Token } from './token/token.js';
import { VERSION } from './version.js';

/** Page events after which the connection may be dead without the browser saying so. */
const WAKE_EVENTS = ['online', 'pageshow', 'focus'] as const;

/** A browser's way to make phone calls through the gateway. Nothing is touched before `connect()`. */
export class SautikitClient extends Emitter<ClientEvents> {
  static readonly version = VERSION;

  readonly #options: ClientOptions;
  readonly #tokens: TokenSource;
  readonly #calls = new Set<Call>();
  #state: ClientState = 'idle';
  #line: Line | undefined;
  /** Changes with each connect() and each end, so that what an earlier one fetched is not used. */
  #attempt = 0;
  #connecting: Promise<void> | undefined;
  #settle: { resolve(): void; reject(error: SautikitError): void } | undefined;
  #iceServers: RTCIceServer[] = [];
  #renewFailed = false;
  readonly #wake = (): void => {
    this.#line?.check();
  };

  constructor(options: ClientOptions) {
    super();
    const { tokenUrl, getToken } = options;
    if (!getToken && tokenUrl === undefined) {
      throw new SautikitError('client.state', {
        message: 'Give the client a tokenUrl or getToken.',
      });
    }
    this.#options = options;
    this.#tokens = new TokenSource(
      getToken ?? (({ signal }) => fetchToken(tokenUrl ?? '', signal)),
    );
  }

  /** Whether this browser can make calls. */
  static isSupported(): boolean {
    return typeof RTCPeerConnection === 'function' && typeof WebSocket === 'function';
  }

  get state(): ClientState {
    return this.#state;
  }

  /** The calls that are not over. */
  get calls(): readonly Call[] {
    return [...this.#calls];
  }

  /** Fetches a token, connects and registers. Again: joins what is under way, or does nothing. */
  connect(): Promise<void> {
    if (this.#state === 'connected') {
      return Promise.resolve();
    }
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  /** Hangs up all calls, unregisters and closes. */
  async disconnect(): Promise<void> {
    const line = this.#line;
    for (const call of this.#calls) {
      void call.hangup();
    }
    this.#finish();
    await line?.close();
  }

  /**
   * Calls a number (E.164) or an identity of the same workspace. Rejects for what is wrong here:
   * not connected, no such number, no microphone. Resolves just before the call leaves, so that
   * no event can be missed.
   */
  async call(to: string, options: CallOptions = {}): Promise<Call> {
    this.#needLine();
    const user = destinationUser(to);
    const from = options.from === undefined ? undefined : callerNumber(options.from);
    const headers = headerLines(options.headers ?? {});
    options.signal?.throwIfAborted();
    if (!this.#tokens.current) {
      // Renewal was late (a sleeping laptop): a lapsed session takes no new call.
      this.#line?.renewed(await this.#tokens.fetch('renew'));
    }
    const stream = await openMicrophone({ ...this.#options.microphone, ...options.microphone });
    const call = new Call(callId(), user, stream);
    this.#follow(call, options.signal);
    const { displayName } = options;
    const iceServers = this.#options.iceServers ?? this.#iceServers;
    this.#startSoon(call, { user, from, displayName, headers, iceServers, stream });
    return call;
  }

  /** Plays what the browser held back: call it in a click handler after `audioBlocked`. */
  async startAudio(): Promise<void> {
    await Promise.all([...this.#calls].map((call) => call.startAudio()));
  }

  async #connect(): Promise<void> {
    if (this.#state === 'reconnecting') {
      return this.#settled();
    }
    if (!SautikitClient.isSupported()) {
      throw new SautikitError('unsupported');
    }
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#to('connecting');
    this.emit('connecting', undefined);
    try {
      const token = await this.#tokens.ready('connect');
      if (attempt !== this.#attempt) {
        throw canceled();
      }
      this.#line = this.#makeLine(token);
    } catch (error) {
      if (attempt !== this.#attempt) {
        throw canceled();
      }
      const failure = SautikitError.from(error, 'token.unavailable');
      this.#finish(failure);
      throw failure;
    }
    for (const name of WAKE_EVENTS) {
      (globalThis as unknown as Partial<Window>).addEventListener?.(name, this.#wake);
    }
    this.#line.open();
    return this.#settled();
  }

  /** Until the line is up, or has given up. */
  #settled(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  #makeLine(token: Token): Line {
    const url = gatewayAddress(this.#options.gatewayUrl, token.wsUrl);
    this.#iceServers = token.iceServers ?? [];
    return new Line(url, token, this.#tokens, {
      up: (resumed) => {
        this.#to('connected');
        this.#connecting = undefined;
        this.#settle?.resolve();
        this.#settle = undefined;
        this.emit('connected', { resumed });
      },
      down: (error, attempt) => {
        if (this.#state !== 'connecting') {
          this.#to('reconnecting');
          this.#calls.forEach((call) => {
            call.lineDown();
          });
          this.emit('reconnecting', { attempt, error });
        }
      },
      gone: (error) => {
        this.#calls.forEach((call) => {
          call.lineGone(error);
        });
        this.#finish(error);
      },
      renewal: (error, inMs) => {
        this.#renewal(error, inMs);
      },
    });
  }

  #renewal(error: SautikitError | undefined, inMs: number): void {
    if (error) {
      this.#renewFailed = true;
      this.emit('warning', { code: 'token.renew_failed', message: error.message, active: true });
      this.emit('tokenWillExpire', { inMs });
    } else if (this.#renewFailed) {
      this.#renewFailed = false;
      const message = 'The call token was renewed after all.';
      this.emit('warning', { code: 'token.renew_failed', message, active: false });
    }
  }

  #finish(error?: SautikitError): void {
    for (const name of WAKE_EVENTS) {
      (globalThis as unknown as Partial<Window>).removeEventListener?.(name, this.#wake);
    }
    this.#tokens.close();
    this.#attempt += 1;
    this.#connecting = undefined;
    this.#line = undefined;
    if (this.#state === 'idle' || this.#state === 'disconnected') {
      return;
    }
    this.#to('disconnected');
    this.#settle?.reject(error ?? canceled());
    this.#settle = undefined;
    if (error) {
      this.emit('error', error);
    }
    this.emit('disconnected', error ? { error } : {});
  }

  #follow(call: Call, signal: AbortSignal | undefined): void {
    this.#calls.add(call);
    const hangup = (): void => {
      void call.hangup();
    };
    signal?.addEventListener('abort', hangup, { once: true });
    call.on('audioBlocked', () => {
      this.emit('audioBlocked', undefined);
    });
    call.on('ended', () => {
      this.#calls.delete(call);
      signal?.removeEventListener('abort', hangup);
    });
  }

  /** In a task of its own, so that the page has its listeners on the call by then. */
  #startSoon(call: Call, invite: Invite): void {
    setTimeout(() => {
      if (this.#line && this.#state === 'connected') {
        call.start(this.#line.port, invite);
      } else {
        call.lineGone(new SautikitError('client.state'));
      }
    });
  }

  #needLine(): void {
    if (this.#state === 'reconnecting') {
      throw new SautikitError('gateway.unreachable', {
        message: 'The connection to the phone gateway is being restored. Try again in a moment.',
      });
    }
    if (this.#state !== 'connected') {
      throw new SautikitError('client.state');
    }
  }

  #to(state: ClientState): void {
    this.#state = state;
  }
}

function canceled(): SautikitError {
  return new SautikitError('client.state', { message: 'disconnect() was called.' });
}

function callId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The SIP headers of a call; what is no single line is refused. */
function headerLines(headers: Record<string, string>): string[] {
  return Object.entries(headers).map(([name, value]) => {
    if (!/^X-[A-Za-z0-9-]+$/i.test(name) || /[\r\n\0]/.test(value)) {
      throw new SautikitError('call.state', {
        message: `The header ${JSON.stringify(name)} cannot be sent: names begin with X-, values are one line.`,
      });
    }
    return `${name}: ${value}`;
  });
}
