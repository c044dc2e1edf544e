type Listener<Event> = (event: Event) => void;

/**
 * Typed events. A listener that throws never stops the others: its error is thrown again in a
 * microtask, where the page's own error handling sees it.
 */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Map<unknown, Listener<never>>>();

  /** Calls `fn` at each `name`; the returned function takes it off again. */
  on<K extends keyof Events>(name: K, fn: Listener<Events[K]>): () => void {
    this.#add(name, fn, fn);
    return () => {
      this.off(name, fn);
    };
  }

  /** Calls `fn` at the next `name` only. */
  once<K extends keyof Events>(name: K, fn: Listener<Events[K]>): () => void {
    this.#add(name, fn, (event: Events[K]) => {
      this.off(name, fn);
      fn(event);
    });
    return () => {
      this.off(name, fn);
    };
  }

  /** Takes off a listener that `on` or `once` added. */
  off<K extends keyof Events>(name: K, fn: Listener<Events[K]>): void {
    this.#listeners.get(name)?.delete(fn);
  }

  protected emit<K extends keyof Events>(name: K, event: Events[K]): void {
    for (const listener of [...(this.#listeners.get(name)?.values() ?? [])]) {
      try {
        (listener as Listener<Events[K]>)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Whether anybody listens to `name`. */
  protected heard(name: keyof Events): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }

  #add<K extends keyof Events>(name: K, key: unknown, listener: Listener<Events[K]>): void {
    const named = this.#listeners.get(name) ?? new Map<unknown, Listener<never>>();
    named.set(key, listener);
    this.#listeners.set(name, named);
  }
}
