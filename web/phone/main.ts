import { SautikitClient } from '@sautikit/browser';
import { Account } from './account.js';
import { element } from './element.js';
import { Phone } from './phone.js';
import { LINE_WORDS, TRY_NUMBERS } from './words.js';

/** The bill is posted a moment after the call. */
const BILL_AFTER_MS = [300, 1500, 4000];

const account = new Account();
const client = new SautikitClient({ tokenUrl: '/api/sip-token' });
const phone = new Phone(client, {
  moneyMoved: () => {
    for (const delay of BILL_AFTER_MS) {
      setTimeout(() => {
        void account.refresh().then((calls) => {
          phone.billed(calls);
        });
      }, delay);
    }
  },
});

function showLine(): void {
  element('line').dataset['state'] = client.state;
  element('line-text').textContent = LINE_WORDS[client.state];
}

client.on('connecting', showLine);
client.on('connected', () => {
  showLine();
  phone.settle();
});
client.on('reconnecting', showLine);
client.on('disconnected', ({ error }) => {
  showLine();
  if (error) {
    phone.complain(error);
  }
});

for (const key of ['1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '0', '#']) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = key;
  button.addEventListener('click', () => {
    phone.press(key);
  });
  element('pad').append(button);
}

for (const [number, what] of TRY_NUMBERS) {
  const item = document.createElement('li');
  const button = document.createElement('button');
  button.type = 'button';
  const words = document.createElement('span');
  words.className = 'what';
  words.textContent = what;
  button.append(number, words);
  button.addEventListener('click', () => {
    phone.fill(number);
  });
  item.append(button);
  element('try-list').append(item);
}

document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') {
    void account.refresh();
  }
});

void account.refresh();
// A failure is shown by the `disconnected` event; pressing Call tries again.
client.connect().catch(() => undefined);
