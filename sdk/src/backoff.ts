/** The shape of a back-off, in milliseconds. */
export interface BackoffShape {
  /** The first wait lies between 0 and this. */
  firstMs: number;
  /** The second is about this, and each later one twice its forerunner. */
  stepMs: number;
  /** No wait is longer. */
  topMs: number;
}

/** Waits that grow and never fall together: each is drawn from the upper half of its step. */
export class Backoff {
  readonly #shape: BackoffShape;
  #tries = 0;

  constructor(shape: BackoffShape) {
    this.#shape = shape;
  }

  /** How many waits were drawn since the last reset. */
  get tries(): number {
    return this.#tries;
  }

  /** The next wait in milliseconds. */
  next(): number {
    const { firstMs, stepMs, topMs } = this.#shape;
    this.#tries += 1;
    if (this.#tries === 1) {
      return Math.random() * firstMs;
    }
    const step = Math.min(topMs, stepMs * 2 ** Math.min(this.#tries - 2, 20));
    return step / 2 + (Math.random() * step) / 2;
  }

  reset(): void {
    this.#tries = 0;
  }
}
