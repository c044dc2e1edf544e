import type { CallEvents, CallState, EndCause, EndedEvent } from './call-events.js';
import { Emitter } from './emitter.js';
import { connectionLost, endingOf } from './ending.js';
import { SautikitError } from './error.js';
import { codecOf } from './media/codec.js';
import { checkDigits, sendDigits, type DigitOptions } from './media/digits.js';
import { balanceLow } from './gateway/warning.js';
import { GatheringCap } from './media/gathering-cap.js';
import { closeMicrophone } from './media/microphone.js';
import { RemoteAudio } from './media/remote-audio.js';
import { playWarningTone } from './media/warning-tone.js';
import { Rate } from './rate.js';
import type {
  Invite,
  SessionEnd,
  SessionHandlers,
  SipMessage,
  SipPort,
  SipSession,
} from './sip/port.js';

/**
 * A lost signalling connection ends a call after this long, regained or not: the gateway does the
 * same, since a new connection does not take over the calls of a lost one.
 */
const GIVE_UP_MS = 30_000;

/** Who is at the other end. */
export interface RemoteParty {
  number: string;
}

/** One call. It is made by `client.call()`, and its last event is `ended`. */
export class Call extends Emitter<CallEvents> {
  readonly id: string;
  readonly direction = 'outbound';
  readonly remote: RemoteParty;
  readonly startedAt = new Date();
  #state: CallState = 'connecting';
  #answeredAt: Date | undefined;
  #talkStart = 0;
  #talked = 0;
  #muted = false;
  #hungUp = false;
  #earlyMedia = false;
  #connected = false;
  #gatewayCallId: string | undefined;
  #rate: Rate | undefined;
  #remoteStream: MediaStream | undefined;
  #session: SipSession | undefined;
  #pc: RTCPeerConnection | undefined;
  #cap: GatheringCap | undefined;
  #audio: RemoteAudio | undefined;
  #giveUp: ReturnType<typeof setTimeout> | undefined;
  readonly #microphone: MediaStream;
  /** Aborted when the call is over. */
  readonly #life = new AbortController();
  /** The digits that are under way. */
  #digits: Promise<void> = Promise.resolve();

  /** @internal */
  constructor(id: string, number: string, microphone: MediaStream) {
    super();
    this.id = id;
    this.remote = { number };
    this.#microphone = microphone;
  }

  get state(): CallState {
    return this.#state;
  }

  get answeredAt(): Date | undefined {
    return this.#answeredAt;
  }

  /** Seconds since the answer, with decimals; stands still after the end. */
  get duration(): number {
    return this.#state === 'answered' ? (performance.now() - this.#talkStart) / 1000 : this.#talked;
  }

  get muted(): boolean {
    return this.#muted;
  }

  /** The call's id in the gateway's API, from the answer on. */
  get gatewayCallId(): string | undefined {
    return this.#gatewayCallId;
  }

  /** What the call costs, from the answer on; undefined where it is free or not known. */
  get rate(): Rate | undefined {
    return this.#rate;
  }

  /** What the other side says; it is played without further ado. */
  get remoteStream(): MediaStream | undefined {
    return this.#remoteStream;
  }

  /** Ends the call, or the attempt. Nothing happens to a call that is over. */
  hangup(): Promise<void> {
    if (this.#state !== 'ended') {
      this.#hungUp = true;
      if (this.#session) {
        this.#session.terminate();
      } else {
        this.#over({ phase: 'failed', by: 'local', fault: undefined, message: undefined });
      }
    }
    return Promise.resolve();
  }

  /** Silences the microphone, or opens it again. */
  mute(on = true): void {
    if (this.#state === 'ended' || on === this.#muted) {
      return;
    }
    this.#muted = on;
    for (const track of this.#microphone.getAudioTracks()) {
      track.enabled = !on;
    }
    this.#session?.mute(on);
    this.emit('muted', on);
  }

  /**
   * Sends digits to the other side, for menus and PINs; `w` waits half a second. What is sent while
   * others sound follows them. Resolves when the last has been played.
   */
  async sendDigits(digits: string, options: DigitOptions = {}): Promise<void> {
    checkDigits(digits);
    const pc = this.#pc;
    if (this.#state !== 'answered' || !pc) {
      throw new SautikitError('call.state', {
        message: 'Digits can be sent once the call is answered.',
      });
    }
    const sent = this.#digits.then(() => sendDigits(pc, digits, options, this.#life.signal));
    this.#digits = sent.catch(() => undefined);
    await sent;
  }

  /** The browser's own figures of the sound connection. */
  getStats(): Promise<RTCStatsReport> {
    return this.#pc
      ? this.#pc.getStats()
      : Promise.reject(
          new SautikitError('call.state', { message: 'The call has no sound connection yet.' }),
        );
  }

  /** @internal The browser may play now: called from a click. */
  async startAudio(): Promise<void> {
    await this.#audio?.start();
  }

  /** @internal Sends the INVITE. */
  start(port: SipPort, invite: Invite): void {
    if (this.#state === 'ended') {
      return;
    }
    try {
      this.#session = port.invite(invite, this.#handlers());
      if (this.#muted) {
        this.#session.mute(true);
      }
    } catch (cause) {
      this.#fail('failed', SautikitError.from(cause, 'call.failed'));
    }
  }

  /** @internal The signalling connection is lost: the talk goes on while the gateway keeps it. */
  lineDown(): void {
    this.#giveUp ??= setTimeout(() => {
      this.lineGone(connectionLost());
    }, GIVE_UP_MS);
  }

  /** @internal The signalling connection does not come back. */
  lineGone(error: SautikitError): void {
    this.#fail('connection_lost', error);
  }

  #handlers(): SessionHandlers {
    return {
      peerConnection: (pc) => {
        this.#connect(pc);
      },
      candidate: (ready) => {
        this.#cap?.candidate(ready);
      },
      sending: () => {
        this.#cap?.stop();
      },
      progress: (answer) => {
        this.#rings(answer);
      },
      answered: (answer) => {
        this.#answers(answer);
      },
      told: (contentType, body) => {
        const secondsLeft = balanceLow(contentType, body);
        if (secondsLeft !== undefined && this.#state === 'answered') {
          playWarningTone();
          this.emit('balanceLow', { secondsLeft });
        }
      },
      over: (end) => {
        this.#over(end);
      },
    };
  }

  #connect(pc: RTCPeerConnection): void {
    this.#pc = pc;
    this.#cap = new GatheringCap(pc);
    this.#audio = new RemoteAudio(() => {
      this.emit('audioBlocked', undefined);
    });
    pc.addEventListener('track', ({ track, streams }) => {
      this.#remoteStream = streams[0] ?? new MediaStream([track]);
      this.#audio?.play(this.#remoteStream);
    });
    pc.addEventListener('connectionstatechange', () => {
      // Chromium leaves iceConnectionState, which the SIP stack watches, at `disconnected`.
      if (pc.connectionState === 'failed') {
        if (this.#connected) {
          this.#fail('connection_lost', new SautikitError('media.lost'));
        } else {
          this.#fail('failed', new SautikitError('media.connect'));
        }
      }
      this.#connected ||= pc.connectionState === 'connected';
    });
  }

  #rings(answer: SipMessage): void {
    const earlyMedia = answer.body !== '';
    const news = this.#state === 'connecting' || (earlyMedia && !this.#earlyMedia);
    if (news && (this.#state === 'connecting' || this.#state === 'ringing')) {
      this.#state = 'ringing';
      this.#earlyMedia ||= earlyMedia;
      this.emit('ringing', { earlyMedia: this.#earlyMedia });
    }
  }

  #answers(answer: SipMessage): void {
    this.#state = 'answered';
    this.#answeredAt = new Date();
    this.#talkStart = performance.now();
    this.#gatewayCallId = answer.header('X-Sautikit-Call-Id');
    this.#rate = Rate.parse(answer.header('X-Sautikit-Rate'));
    this.emit('answered', { codec: codecOf(answer.body) });
  }

  /** Ends the call for a fault that the SIP stack does not see. */
  #fail(cause: EndCause, error: SautikitError): void {
    this.#finish({ cause, by: 'local', duration: this.duration, error });
    this.#session?.terminate();
  }

  #over(end: SessionEnd): void {
    this.#finish(endingOf(end, this.#hungUp, this.duration));
  }

  #finish(ended: EndedEvent): void {
    if (this.#state === 'ended') {
      return;
    }
    this.#talked = ended.duration;
    this.#state = 'ended';
    clearTimeout(this.#giveUp);
    this.#cap?.stop();
    this.#audio?.stop();
    this.#life.abort();
    closeMicrophone(this.#microphone);
    if (ended.error) {
      this.emit('error', ended.error);
    }
    this.emit('ended', ended);
  }
}
