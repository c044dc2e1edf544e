const HERTZ = 880;
const SECONDS = 0.2;
/** Quiet: it is heard over a voice and does not drown it. */
const VOLUME = 0.1;

/** A short tone for whoever holds this phone; the other side does not hear it. */
export function playWarningTone(): void {
  if (typeof AudioContext === 'undefined') {
    return;
  }
  const context = new AudioContext();
  const volume = context.createGain();
  volume.gain.value = VOLUME;
  volume.connect(context.destination);
  const tone = context.createOscillator();
  tone.frequency.value = HERTZ;
  tone.connect(volume);
  tone.addEventListener('ended', () => {
    void context.close();
  });
  tone.start();
  tone.stop(context.currentTime + SECONDS);
}
