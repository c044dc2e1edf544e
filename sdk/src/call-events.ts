import type { SautikitError } from './error.js';

/** How a call ended. */
export type EndCause =
  | 'hangup'
  | 'canceled'
  | 'rejected'
  | 'busy'
  | 'no_answer'
  | 'answered_elsewhere'
  | 'connection_lost'
  | 'failed';

/** The last event of every call. */
export interface EndedEvent {
  cause: EndCause;
  by: 'local' | 'remote' | 'gateway';
  /** Seconds talked; 0 if it was not answered. */
  duration: number;
  sip?: { code: number; reason: string };
  /** Why, where it is more than somebody hanging up. */
  error?: SautikitError;
}

/** What a call tells. */
export interface CallEvents {
  /** The other side rings; comes again when early media starts. */
  ringing: { earlyMedia: boolean };
  answered: { codec: string };
  /** Exactly once. */
  ended: EndedEvent;
  /** The balance pays for so many more seconds, unless it is topped up meanwhile; a tone is played. */
  balanceLow: { secondsLeft: number };
  muted: boolean;
  /** The browser wants a click before it plays sound: offer one that calls `client.startAudio()`. */
  audioBlocked: undefined;
  error: SautikitError;
}

/** Where a call stands. */
export type CallState = 'connecting' | 'ringing' | 'answered' | 'ended';
