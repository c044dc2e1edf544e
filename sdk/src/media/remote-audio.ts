/** Plays what the other side says. */
export class RemoteAudio {
  readonly #element: HTMLAudioElement;
  readonly #blocked: () => void;

  /** `blocked` is called when the browser wants a click before it plays. */
  constructor(blocked: () => void) {
    this.#element = document.createElement('audio');
    this.#element.autoplay = true;
    this.#blocked = blocked;
  }

  play(stream: MediaStream): void {
    this.#element.srcObject = stream;
    this.start().catch((error: unknown) => {
      // AbortError: the call ended before the first sound.
      if (!(error instanceof Error) || error.name !== 'AbortError') {
        this.#blocked();
      }
    });
  }

  /** Tries again, from a click. */
  async start(): Promise<void> {
    if (this.#element.srcObject) {
      await this.#element.play();
    }
  }

  stop(): void {
    this.#element.pause();
    this.#element.srcObject = null;
  }
}
