import { UA } from 'jssip';
import { VERSION } from '../version.js';
import type { GatewaySocket } from './gateway-socket.js';
import type {
  Invite,
  SessionEnd,
  SessionHandlers,
  SipMessage,
  SipPort,
  SipPortHandlers,
  SipSession,
} from './port.js';

/** The gateway does not look at the host part: a session belongs to its token. */
const DOMAIN = 'sautikit.invalid';
/** JsSIP's own reconnect must never fire: the socket dials by itself. Just under setTimeout's end. */
const NEVER_SECONDS = 2_000_000;
const STOP_LIMIT_MS = 2000;

type Session = ReturnType<UA['call']>;
/** JsSIP's messages, as far as they are read. */
interface IncomingMessage {
  body?: string | null;
  status_code?: number;
  reason_phrase?: string;
  getHeader(name: string): string | undefined;
}

/** What JsSIP tells of an INFO. */
interface InfoEvent {
  originator: 'local' | 'remote';
  info: { contentType?: string; body?: string };
}

/** JsSIP's `ended` and `failed` events. */
interface EndEvent {
  originator: string;
  message: IncomingMessage | null;
  cause: string;
}

/** The SIP stack over JsSIP 3.13.8: the only file that knows it. */
export class JsSipPort implements SipPort {
  readonly #ua: UA;
  readonly #socket: GatewaySocket;
  #sessions: Session[] = [];
  #unregistered: () => void = () => undefined;

  constructor(socket: GatewaySocket, user: string, token: string, handlers: SipPortHandlers) {
    this.#socket = socket;
    this.#ua = new UA({
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- JsSIP asks for the shape, not for its class
      sockets: socket,
      uri: `sip:${user}@${DOMAIN}`,
      authorization_jwt: `Bearer ${token}`,
      // The gateway is the refresher, or has none towards browsers.
      session_timers: false,
      user_agent: `@sautikit/browser ${VERSION}`,
      connection_recovery_min_interval: NEVER_SECONDS,
      connection_recovery_max_interval: NEVER_SECONDS,
    });
    this.#ua.on('registered', () => {
      handlers.registered();
    });
    this.#ua.on('unregistered', () => {
      this.#unregistered();
    });
    this.#ua.on('registrationFailed', ({ response, cause }) => {
      // The socket tells of its own loss.
      if ((cause as string | undefined) !== 'Connection Error') {
        handlers.registrationRefused(readMessage(response));
      }
    });
  }

  start(): void {
    this.#ua.start();
  }

  setToken(token: string): void {
    this.#ua.set('authorization_jwt', `Bearer ${token}`);
  }

  register(): void {
    this.#ua.register();
  }

  invite(invite: Invite, handlers: SessionHandlers): SipSession {
    const extraHeaders = [...invite.headers];
    if (invite.from !== undefined) {
      extraHeaders.push(`P-Preferred-Identity: <sip:${invite.from}@${DOMAIN}>`);
    }
    const session = this.#ua.call(`sip:${invite.user}@${DOMAIN}`, {
      mediaStream: invite.stream,
      mediaConstraints: { audio: true, video: false },
      pcConfig: { iceServers: invite.iceServers },
      extraHeaders,
      ...(invite.displayName === undefined ? {} : { fromDisplayName: invite.displayName }),
      eventHandlers: {
        peerconnection: ({ peerconnection }) => {
          handlers.peerConnection(peerconnection);
        },
        icecandidate: ({ ready }) => {
          handlers.candidate(ready);
        },
        sending: () => {
          handlers.sending();
        },
        progress: (event: unknown) => {
          handlers.progress(readAnswer(event));
        },
        accepted: (event: unknown) => {
          handlers.answered(readAnswer(event));
        },
        newInfo: (event: unknown) => {
          const { originator, info } = event as InfoEvent;
          if (originator === 'remote') {
            handlers.told(info.contentType ?? '', info.body ?? '');
          }
        },
        failed: (event: unknown) => {
          handlers.over(readEnd('failed', event as EndEvent));
        },
        ended: (event: unknown) => {
          handlers.over(readEnd('ended', event as EndEvent));
        },
      },
    });
    this.#sessions = this.#sessions.filter((one) => !one.isEnded());
    this.#sessions.push(session);
    return {
      terminate: () => {
        terminate(session);
      },
      mute: (on) => {
        if (!session.isEnded()) {
          session[on ? 'mute' : 'unmute']({ audio: true });
        }
      },
    };
  }

  async stop(): Promise<void> {
    this.#sessions.forEach(terminate);
    if (this.#ua.isRegistered() && this.#socket.isConnected()) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, STOP_LIMIT_MS);
        this.#unregistered = () => {
          clearTimeout(timer);
          // JsSIP is in the middle of handling the answer.
          queueMicrotask(resolve);
        };
        this.#ua.unregister();
      });
    }
    this.#socket.disconnect();
    this.#ua.stop();
  }
}

function terminate(session: Session): void {
  if (!session.isEnded()) {
    session.terminate();
  }
}

function readAnswer(event: unknown): SipMessage {
  const { response } = event as { response: IncomingMessage | null };
  return readMessage(response) ?? { code: 0, reason: '', body: '', header: () => undefined };
}

function readMessage(message: IncomingMessage | null | undefined): SipMessage | undefined {
  return message
    ? {
        code: message.status_code ?? 0,
        reason: message.reason_phrase ?? '',
        body: message.body ?? '',
        header: (name) => message.getHeader(name),
      }
    : undefined;
}

function readEnd(phase: SessionEnd['phase'], event: EndEvent): SessionEnd {
  const by =
    event.originator === 'local' || event.originator === 'remote' ? event.originator : 'system';
  return { phase, by, fault: faultOf(event.cause), message: readMessage(event.message) };
}

function faultOf(cause: string): SessionEnd['fault'] {
  switch (cause) {
    case 'Connection Error':
      return 'connection';
    case 'Request Timeout':
    case 'No ACK':
      return 'timeout';
    case 'WebRTC Error':
    case 'Bad Media Description':
    case 'RTP Timeout':
    case 'Missing SDP':
    case 'Internal Error':
      return 'media';
    default:
      return undefined;
  }
}
