/** The offer leaves this long after the last candidate. */
const QUIET_MS = 250;
/** With no candidate at all, and at the latest in any case. */
const LIMIT_MS = 1000;

/**
 * Ends the wait for ICE candidates. Without it one dead STUN server holds a call back for 40 s,
 * and a host with no usable address for ever.
 */
export class GatheringCap {
  readonly #pc: RTCPeerConnection;
  #ready: (() => void) | undefined;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #limit: ReturnType<typeof setInterval>;

  constructor(pc: RTCPeerConnection) {
    this.#pc = pc;
    this.#limit = setInterval(() => {
      this.#finish();
    }, LIMIT_MS);
  }

  /** A candidate came; `ready` sends the offer. */
  candidate(ready: () => void): void {
    this.#ready = ready;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(ready, QUIET_MS);
  }

  /** The offer has left, or the call is over. */
  stop(): void {
    clearTimeout(this.#quiet);
    clearInterval(this.#limit);
  }

  #finish(): void {
    if (this.#ready) {
      this.#ready();
    } else {
      // The SIP stack waits for this event, and no browser sends it while it still hopes.
      this.#pc.dispatchEvent(new RTCPeerConnectionIceEvent('icecandidate', { candidate: null }));
    }
  }
}
