/** A SIP answer, or a request that ended a call, as far as the SDK reads it. */
export interface SipMessage {
  /** 0 for a request. */
  code: number;
  reason: string;
  body: string;
  header(name: string): string | undefined;
}

/** How a session ended. */
export interface SessionEnd {
  /** `ended` after it was answered, `failed` before. */
  phase: 'failed' | 'ended';
  by: 'local' | 'remote' | 'system';
  /** What ended it where no SIP message did. */
  fault: 'connection' | 'timeout' | 'media' | undefined;
  message: SipMessage | undefined;
}

/** What the SIP stack tells of its registration. */
export interface SipPortHandlers {
  registered(): void;
  /** Undefined: no answer came in time. */
  registrationRefused(answer: SipMessage | undefined): void;
}

/** What the SIP stack tells of one call. */
export interface SessionHandlers {
  peerConnection(pc: RTCPeerConnection): void;
  /** A candidate came; `ready` sends the offer with what there is. */
  candidate(ready: () => void): void;
  /** The INVITE leaves. */
  sending(): void;
  progress(answer: SipMessage): void;
  answered(answer: SipMessage): void;
  /** A message of the gateway's own in the call (INFO). */
  told(contentType: string, body: string): void;
  over(end: SessionEnd): void;
}

/** One call to make. */
export interface Invite {
  user: string;
  from: string | undefined;
  displayName: string | undefined;
  headers: string[];
  iceServers: RTCIceServer[];
  stream: MediaStream;
}

/** One call under way. */
export interface SipSession {
  /** CANCEL or BYE, whichever fits; nothing once it is over. */
  terminate(): void;
  mute(on: boolean): void;
}

/** All that the SDK asks of a SIP stack. One file implements it and alone knows the stack. */
export interface SipPort {
  start(): void;
  /** The token that later requests carry. */
  setToken(token: string): void;
  register(): void;
  invite(invite: Invite, handlers: SessionHandlers): SipSession;
  /** Hangs up, unregisters and closes; resolves when that is done, after 2 s at the latest. */
  stop(): Promise<void>;
}
