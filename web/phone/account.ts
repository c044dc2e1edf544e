import { element, say } from './element.js';
import { clock, money, timeOfDay } from './format.js';
import { statusWords } from './words.js';

/** How many calls are listed. */
const LIST_LENGTH = 8;

interface Wallet {
  balance_minor: number;
  held_minor: number;
  currency: string;
}

/** A call as the gateway's records have it. */
export interface CallRow {
  id: string;
  direction: string;
  local_e164: string | null;
  remote_e164: string | null;
  status: string;
  started_at: string;
  duration_seconds: number | null;
  cost_minor: number | null;
  cost_currency: string | null;
}

/**
 * Balance and last calls, by the page's own server: it holds the API key, the page never does.
 * Where the server has no such route, the part stays hidden.
 */
export class Account {
  readonly #wallet = element('wallet');
  readonly #balance = element('balance');
  readonly #held = element('held');
  readonly #calls = element('calls');
  readonly #list = element('call-list');
  readonly #none = element('no-calls');

  /** Fetches both anew, and gives the last calls; what cannot be had keeps its last look. */
  async refresh(): Promise<CallRow[]> {
    const [calls] = await Promise.all([this.#refreshCalls(), this.#refreshWallet()]);
    return calls;
  }

  async #refreshWallet(): Promise<void> {
    const wallet = await ask<Wallet>('/api/wallet');
    if (wallet) {
      this.#balance.textContent = money(wallet.balance_minor, wallet.currency);
      const held =
        wallet.held_minor > 0
          ? `${money(wallet.held_minor, wallet.currency)} held for the call`
          : '';
      say(this.#held, held);
      this.#wallet.hidden = false;
    }
  }

  async #refreshCalls(): Promise<CallRow[]> {
    const page = await ask<{ data: CallRow[] }>(`/api/calls?limit=${LIST_LENGTH}`);
    if (page) {
      this.#list.replaceChildren(...page.data.slice(0, LIST_LENGTH).map(row));
      this.#none.hidden = page.data.length > 0;
      this.#calls.hidden = false;
    }
    return page?.data ?? [];
  }
}

async function ask<T>(path: string): Promise<T | undefined> {
  try {
    const answer = await fetch(path, {
      headers: { Accept: 'application/json' },
      cache: 'no-store',
    });
    return answer.ok ? ((await answer.json()) as T) : undefined;
  } catch {
    return undefined;
  }
}

function row(call: CallRow): HTMLLIElement {
  const item = document.createElement('li');
  const inbound = call.direction === 'inbound';
  const seconds = call.duration_seconds ?? 0;
  const talked = seconds > 0 ? ` · ${clock(seconds)}` : '';
  item.append(
    part('number', `${inbound ? 'From ' : ''}${call.remote_e164 ?? 'unknown'}`),
    part('amount', charge(call)),
    part('detail', `${statusWords(call.status)}${talked}`),
    part('detail amount', timeOfDay(call.started_at)),
  );
  return item;
}

function charge(call: CallRow): string {
  if (call.cost_minor) {
    return money(call.cost_minor, call.cost_currency ?? 'KES');
  }
  return ['ringing', 'answered'].includes(call.status) ? '' : 'no charge';
}

function part(name: string, text: string): HTMLSpanElement {
  const span = document.createElement('span');
  span.className = name;
  span.textContent = text;
  return span;
}
