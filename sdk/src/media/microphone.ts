import { SautikitError } from '../error.js';
import type { ErrorCode } from '../error-code.js';

const DEFAULTS: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};

const BY_NAME: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ['NotAllowedError', 'mic.denied'],
  ['SecurityError', 'mic.denied'],
  ['NotFoundError', 'mic.not_found'],
  ['OverconstrainedError', 'device.not_found'],
  ['NotReadableError', 'mic.in_use'],
  ['AbortError', 'mic.in_use'],
]);

/** Opens the microphone; the caller stops its tracks. */
export async function openMicrophone(wish: MediaTrackConstraints = {}): Promise<MediaStream> {
  // Browsers hide `mediaDevices` from pages that are neither on https nor on localhost.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (!devices) {
    throw new SautikitError(globalThis.isSecureContext ? 'unsupported' : 'mic.insecure_context');
  }
  try {
    return await devices.getUserMedia({ audio: { ...DEFAULTS, ...wish }, video: false });
  } catch (cause) {
    const name = cause instanceof Error ? cause.name : '';
    throw new SautikitError(BY_NAME.get(name) ?? 'mic.failed', { cause });
  }
}

/** Lets go of the microphone. */
export function closeMicrophone(stream: MediaStream): void {
  for (const track of stream.getTracks()) {
    track.stop();
  }
}
