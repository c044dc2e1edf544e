import { SautikitError } from '../error.js';

/** How long `w` waits. */
const WAIT_MS = 500;

/** Timing of the tones. */
export interface DigitOptions {
  /** Length of one tone, 40–6000 ms (100). */
  durationMs?: number;
  /** Silence between two tones, at least 30 ms (70). */
  gapMs?: number;
}

/** Refuses what is no digit. */
export function checkDigits(digits: string): void {
  if (!/^[0-9*#A-Dw]+$/i.test(digits)) {
    throw new SautikitError('call.state', { message: 'Digits are 0-9, *, #, A-D, and w to wait.' });
  }
}

/**
 * Sends `0-9 * # A-D` as telephone-events (RFC 4733); `w` waits half a second. Only one may run on
 * a connection: tones that come while others sound take their place. `over` ends it with the call.
 */
export async function sendDigits(
  pc: RTCPeerConnection,
  digits: string,
  options: DigitOptions,
  over: AbortSignal,
): Promise<void> {
  const dtmf = pc.getSenders().find((sender) => sender.track?.kind === 'audio')?.dtmf;
  if (!dtmf?.canInsertDTMF) {
    throw new SautikitError('media.negotiation', {
      message: 'The other side does not take digits in this call.',
    });
  }
  for (const part of digits.split(/(w)/i)) {
    if (over.aborted) {
      throw callOver();
    }
    if (part.toLowerCase() === 'w') {
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    } else if (part !== '') {
      await tones(dtmf, part, options, over);
    }
  }
}

function tones(
  dtmf: RTCDTMFSender,
  part: string,
  options: DigitOptions,
  over: AbortSignal,
): Promise<void> {
  const { durationMs = 100, gapMs = 70 } = options;
  return new Promise((resolve, reject) => {
    const changed = (event: RTCDTMFToneChangeEvent): void => {
      // An empty tone says that all have been played.
      if (event.tone === '') {
        dtmf.removeEventListener('tonechange', changed);
        over.removeEventListener('abort', ended);
        resolve();
      }
    };
    // A closed connection says no more.
    const ended = (): void => {
      reject(callOver());
    };
    over.addEventListener('abort', ended, { once: true });
    dtmf.addEventListener('tonechange', changed);
    dtmf.insertDTMF(part, durationMs, gapMs);
  });
}

function callOver(): SautikitError {
  return new SautikitError('call.state', {
    message: 'The call ended before all digits were sent.',
  });
}
