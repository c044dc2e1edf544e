import type { CallState, ClientState, EndedEvent } from '@sautikit/browser';

/** The connection, in a word or two. */
export const LINE_WORDS: Readonly<Record<ClientState, string>> = {
  idle: 'Not connected',
  connecting: 'Connecting…',
  connected: 'Ready',
  reconnecting: 'Reconnecting…',
  disconnected: 'Not connected',
};

/** What a call in this state is doing. */
export function callWords(state: CallState, number: string, earlyMedia: boolean): string {
  switch (state) {
    case 'connecting':
      return `Calling ${number}…`;
    case 'ringing':
      return earlyMedia ? `Ringing ${number}: listen…` : `Ringing ${number}…`;
    case 'answered':
      return `Talking to ${number}`;
    case 'ended':
      return 'Call ended.';
  }
}

/** What is to be done before the money ends. */
export function balanceLowWords(secondsLeft: number): string {
  const left = secondsLeft === 1 ? '1 second' : `${secondsLeft} seconds`;
  return `The balance pays for ${left} more. Top up to go on.`;
}

/** How a call ended, without its reason where that is an error of its own. */
export function endWords(ended: EndedEvent): string {
  switch (ended.cause) {
    case 'hangup':
      return {
        local: 'Call ended. You hung up.',
        remote: 'Call ended. The other side hung up.',
        gateway: 'Call ended.',
      }[ended.by];
    case 'canceled':
      return ended.by === 'local' ? 'Call canceled.' : 'The call was canceled.';
    case 'busy':
      return 'The line is busy.';
    case 'no_answer':
      return 'Nobody answered.';
    case 'rejected':
      return 'The call was declined.';
    case 'answered_elsewhere':
      return 'The call was answered elsewhere.';
    case 'connection_lost':
      return 'The call was cut off.';
    case 'failed':
      return ended.duration > 0 ? 'The call was ended.' : 'The call did not go through.';
  }
}

const STATUS_WORDS: Readonly<Record<string, string>> = {
  ringing: 'ringing',
  answered: 'talking',
  completed: 'completed',
  failed: 'failed',
  no_answer: 'no answer',
  busy: 'busy',
  canceled: 'canceled',
};

/** A call's status in the list. */
export function statusWords(status: string): string {
  return STATUS_WORDS[status] ?? status;
}

/** What the simulated carrier does, by a number's last two digits. */
export const TRY_NUMBERS: readonly (readonly [number: string, what: string])[] = [
  ['+254722000001', 'answers and echoes you'],
  ['+254722000002', 'rings and rings'],
  ['+254722000003', 'is busy'],
  ['+254722000004', 'declines'],
  ['+254722000005', 'says nothing at all'],
  ['+254722000006', 'hangs up after 3 seconds'],
];
