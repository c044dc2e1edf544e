import type { Call, EndedEvent, SautikitClient } from '@sautikit/browser';
import { element, say } from './element.js';
import type { CallRow } from './account.js';
import { clock, money } from './format.js';
import { balanceLowWords, callWords, endWords } from './words.js';

/** The running meter moves this often. */
const METER_MS = 250;

/** What the page does beside the phone itself. */
export interface PhoneHandlers {
  /** A call was answered or is over: the balance has changed. */
  moneyMoved(): void;
}

/** The phone on the page: one call at a time. */
export class Phone {
  readonly #client: SautikitClient;
  readonly #handlers: PhoneHandlers;
  readonly #box = element('phone');
  readonly #number = element('number', HTMLInputElement);
  readonly #status = element('status');
  readonly #problem = element('problem');
  readonly #meter = element('meter');
  readonly #clock = element('clock');
  readonly #cost = element('cost');
  readonly #callButton = element('call', HTMLButtonElement);
  readonly #hangupButton = element('hangup', HTMLButtonElement);
  readonly #muteButton = element('mute', HTMLButtonElement);
  readonly #unblock = element('unblock', HTMLButtonElement);
  #call: Call | undefined;
  /** The last call that is over, by the gateway's id. */
  #over: string | undefined;
  /** What is told as a problem is the line's, which may come back. */
  #lineProblem = false;
  /** Until this second of the call its warning is true. */
  #warnedUntil = Infinity;
  #ticker: ReturnType<typeof setInterval> | undefined;

  constructor(client: SautikitClient, handlers: PhoneHandlers) {
    this.#client = client;
    this.#handlers = handlers;
    element('dial', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#dial();
    });
    this.#hangupButton.addEventListener('click', () => {
      void this.#call?.hangup();
    });
    this.#muteButton.addEventListener('click', () => {
      this.#call?.mute(!this.#call.muted);
    });
    this.#unblock.addEventListener('click', () => {
      void client.startAudio();
      this.#unblock.hidden = true;
    });
    client.on('audioBlocked', () => {
      this.#unblock.hidden = false;
    });
  }

  /** A key of the keypad: part of the number, or a tone in a running call. */
  press(key: string): void {
    if (this.#call?.state === 'answered') {
      const call = this.#call;
      call.sendDigits(key).catch((error: unknown) => {
        if (call.state === 'answered') {
          this.#complain(error);
        }
      });
    } else if (!this.#call) {
      // Holding 0 for + is a habit of phones; a first 0 can be nothing else here.
      this.#number.value += key === '0' && this.#number.value === '' ? '+' : key;
      this.#number.focus();
    }
  }

  /** Puts a number into the field. */
  fill(number: string): void {
    if (!this.#call) {
      this.#number.value = number;
      this.#callButton.focus();
    }
  }

  /** Says what is wrong with the line, outside of a call. */
  complain(error: unknown): void {
    if (!this.#call) {
      this.#complain(error);
      this.#lineProblem = true;
    }
  }

  /** The line is back. Why a call ended stays. */
  settle(): void {
    if (this.#lineProblem) {
      say(this.#problem, '');
      this.#lineProblem = false;
    }
  }

  async #dial(): Promise<void> {
    if (this.#callButton.disabled || this.#call) {
      return;
    }
    say(this.#problem, '');
    this.#callButton.disabled = true;
    this.#box.dataset['state'] = 'connecting';
    this.#meter.hidden = true;
    say(this.#status, 'Connecting…');
    try {
      await this.#client.connect();
      say(this.#status, 'Waiting for the microphone…');
      this.#follow(await this.#client.call(this.#number.value));
    } catch (error) {
      this.#box.dataset['state'] = 'idle';
      say(this.#status, 'The call did not go through.');
      this.#complain(error);
    } finally {
      this.#callButton.disabled = false;
    }
  }

  #follow(call: Call): void {
    this.#call = call;
    this.#show(call, false);
    this.#hangupButton.focus();
    call.on('ringing', ({ earlyMedia }) => {
      this.#show(call, earlyMedia);
    });
    call.on('answered', () => {
      this.#show(call, false);
      this.#ticker = setInterval(() => {
        this.#tick(call);
      }, METER_MS);
      this.#handlers.moneyMoved();
    });
    call.on('muted', (on) => {
      this.#muteButton.setAttribute('aria-pressed', String(on));
      this.#muteButton.textContent = on ? 'Unmute' : 'Mute';
    });
    call.on('balanceLow', ({ secondsLeft }) => {
      say(this.#problem, balanceLowWords(secondsLeft));
      // A call that lives longer has been topped up.
      this.#warnedUntil = call.duration + secondsLeft + 1;
    });
    call.on('ended', (ended) => {
      say(this.#problem, '');
      this.#warnedUntil = Infinity;
      this.#ended(call, ended);
    });
  }

  #show(call: Call, earlyMedia: boolean): void {
    this.#box.dataset['state'] = call.state;
    const running = call.state !== 'ended';
    const answered = call.state === 'answered';
    this.#number.readOnly = running;
    this.#callButton.hidden = running;
    this.#hangupButton.hidden = !running;
    this.#hangupButton.lastChild?.replaceWith(answered ? 'Hang up' : 'Cancel');
    this.#muteButton.hidden = !answered;
    say(this.#status, callWords(call.state, call.remote.number, earlyMedia));
    if (answered) {
      this.#meter.hidden = false;
      this.#tick(call);
    }
  }

  #tick(call: Call): void {
    if (call.duration > this.#warnedUntil) {
      this.#warnedUntil = Infinity;
      say(this.#problem, '');
    }
    this.#clock.textContent = clock(call.duration);
    this.#cost.textContent = call.rate
      ? money(call.rate.cost(call.duration), call.rate.currency)
      : '';
  }

  #ended(call: Call, ended: EndedEvent): void {
    clearInterval(this.#ticker);
    this.#call = undefined;
    this.#muteButton.setAttribute('aria-pressed', 'false');
    this.#muteButton.textContent = 'Mute';
    this.#unblock.hidden = true;
    this.#over = call.gatewayCallId;
    const focused = document.activeElement === this.#hangupButton;
    this.#show(call, false);
    say(this.#status, endWords(ended));
    if (ended.duration > 0) {
      this.#tick(call);
      // Seconds are billed rounded up, by the gateway's clock: until its bill is here.
      this.#clock.textContent = clock(Math.ceil(ended.duration));
      if (ended.cause === 'connection_lost') {
        // Billed is what the gateway last heard.
        this.#cost.textContent = '';
      }
    } else {
      this.#meter.hidden = true;
    }
    if (ended.error) {
      this.#complain(ended.error);
    }
    if (focused) {
      this.#callButton.focus();
    }
    this.#handlers.moneyMoved();
  }

  /** The bill of the call that is over, where it is among these. */
  billed(calls: readonly CallRow[]): void {
    const bill = calls.find(({ id }) => id === this.#over);
    const seconds = bill?.duration_seconds ?? undefined;
    if (bill && seconds !== undefined && this.#call === undefined && !this.#meter.hidden) {
      this.#clock.textContent = clock(seconds);
      this.#cost.textContent = money(bill.cost_minor ?? 0, bill.cost_currency ?? 'KES');
    }
  }

  #complain(error: unknown): void {
    this.#lineProblem = false;
    say(this.#problem, error instanceof Error ? error.message : String(error));
  }
}
