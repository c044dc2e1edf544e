type Listener<E> = ((event: E) => void) | null;

/** A WebSocket whose other end is the test. */
export class FakeWebSocket {
  static all: FakeWebSocket[] = [];
  static get last(): FakeWebSocket {
    const last = FakeWebSocket.all.at(-1);
    if (!last) {
      throw new Error('nothing has dialled');
    }
    return last;
  }

  readonly sent: string[] = [];
  readonly url: string;
  readonly protocols: string[];
  binaryType = 'blob';
  closedWith: number | undefined;
  onopen: Listener<object> = null;
  onclose: Listener<{ code: number; reason: string }> = null;
  onmessage: Listener<{ data: string }> = null;
  /** Answers what the page sends, where a test wants that. */
  answer: ((message: string) => string | undefined) | undefined;

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
    FakeWebSocket.all.push(this);
  }

  send(data: string): void {
    this.sent.push(data);
    const reply = this.answer?.(data);
    if (reply !== undefined) {
      queueMicrotask(() => {
        this.receive(reply);
      });
    }
  }

  close(code: number): void {
    this.closedWith = code;
  }

  open(): void {
    this.onopen?.({});
  }

  receive(data: string): void {
    this.onmessage?.({ data });
  }

  drop(code = 1006, reason = ''): void {
    this.onclose?.({ code, reason });
  }
}
