import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCarrier } from './lib/carrier.mjs';
import { hearsSound, launch } from './lib/chromium.mjs';
import { BALANCE_MINOR, NUMBER, startGateway } from './lib/gateway.mjs';
import { openPhone } from './lib/phone-page.mjs';
import { startSite } from './lib/site.mjs';
import { until } from './lib/until.mjs';

/** KES 3.00 a minute, by the second. */
const MINOR_PER_SECOND = 5;

let carrier;
let gateway;
let site;
let browser;
let phone;
let balance = BALANCE_MINOR;
const known = new Set();

before(async () => {
  carrier = await startCarrier();
  gateway = await startGateway(carrier.address);
  site = await startSite(gateway);
  browser = await launch();
  phone = await openPhone(browser, site.url);
  await phone.ready();
});

after(async () => {
  await browser?.close();
  site?.stop();
  const code = await gateway?.stop();
  await carrier?.stop();
  assert.equal(code, 0, 'the gateway ends cleanly on SIGTERM');
});

/** The newest call as the API tells it. */
async function overCall() {
  const call = await gateway.api.lastCall(known);
  known.add(call.id);
  return call;
}

/** One debit of cost = 5 × seconds, and the balance less by it. */
async function charged(call) {
  assert.ok(call.duration_seconds > 0, `${call.duration_seconds} s`);
  assert.equal(call.cost_minor, MINOR_PER_SECOND * call.duration_seconds);
  balance -= call.cost_minor;
  const wallet = await gateway.api.wallet();
  assert.equal(wallet.balance_minor, balance);
  const entries = await gateway.api.entries(call.id);
  assert.deepEqual(
    entries.map((entry) => [entry.kind, Math.abs(entry.amount_minor), entry.balance_after_minor]),
    [['debit', call.cost_minor, balance]],
  );
}

test('a browser calls the carrier, both hear, the browser hangs up and is charged', async () => {
  await phone.call('+254 722 000001');
  await phone.state('answered');
  const { packetsReceived } = await hearsSound(phone.page);
  assert.ok(packetsReceived > 25);
  await until('a running cost', async () => /^KES 0\.[0-9]*[1-9]/.test(await phone.cost()));
  await phone.hangup();
  await phone.state('ended');
  assert.equal(await phone.status(), 'Call ended. You hung up.');

  const call = await overCall();
  assert.equal(call.direction, 'outbound');
  assert.equal(call.origin, 'browser');
  assert.equal(call.local_e164, NUMBER);
  assert.equal(call.remote_e164, '+254722000001');
  assert.equal(call.status, 'completed');
  assert.equal(call.hangup_by, 'caller');
  await charged(call);

  const line = await carrier.ended('+254722000001');
  assert.ok(line.packets > 25, `the carrier got ${line.packets} packets`);
  assert.ok(line.audio_energy > 0, 'the carrier heard the browser');

  // The page shows both by its own server, with no key.
  const shown = `KES ${(balance / 100).toFixed(2)}`;
  await until('the new balance on the page', async () => {
    return (await phone.page.locator('#balance').textContent()) === shown;
  });
  const row = await phone.page.locator('#call-list li').first().textContent();
  assert.match(row, /\+254722000001.*completed/);
});

test('the carrier hangs up: the page says so, and the call is charged', async () => {
  await phone.call('+254722000006');
  await phone.state('answered');
  await hearsSound(phone.page);
  await phone.state('ended');
  assert.equal(await phone.status(), 'Call ended. The other side hung up.');

  const call = await overCall();
  assert.equal(call.status, 'completed');
  assert.equal(call.hangup_by, 'callee');
  assert.ok(call.duration_seconds >= 3 && call.duration_seconds <= 5, `${call.duration_seconds} s`);
  await charged(call);
});

test('cancelled while it rings: no charge, and nothing is left behind', async () => {
  await phone.call('+254722000002');
  await phone.state('ringing');
  await phone.cancel();
  await phone.state('ended');
  assert.equal(await phone.status(), 'Call canceled.');

  const call = await overCall();
  assert.equal(call.status, 'canceled');
  assert.equal(call.hangup_by, 'caller');
  assert.equal(call.answered_at, null);
  assert.ok(!call.cost_minor, `cost ${call.cost_minor}`);
  assert.deepEqual(await gateway.api.entries(call.id), []);
  const wallet = await gateway.api.wallet();
  assert.equal(wallet.balance_minor, balance);
  assert.equal(wallet.available_minor, balance);
  assert.equal((await carrier.ended('+254722000002')).status, 487);
  assert.equal(await phone.page.locator('#problem').isVisible(), false);
});

test('keys pressed in a call reach the carrier as digits', async () => {
  await phone.call('+254722000007');
  await phone.state('answered');
  await hearsSound(phone.page);
  for (const key of ['4', '2', '#']) {
    await phone.page.getByRole('button', { name: key, exact: true }).click();
  }
  // Faster than the tones are played: each has its turn all the same.
  await phone.page.waitForTimeout(1500);
  await phone.hangup();
  await phone.state('ended');
  await charged(await overCall());
  assert.equal((await carrier.ended('+254722000007')).digits, '42#');
});

test('a busy line is said in words and costs nothing', async () => {
  await phone.call('+254722000003');
  await phone.state('ended');
  assert.equal(await phone.status(), 'The line is busy.');
  const call = await overCall();
  assert.equal(call.status, 'busy');
  assert.deepEqual(await gateway.api.entries(call.id), []);
});

test('what is no number is refused on the page', async () => {
  await phone.call('0722 000001');
  await phone.page.locator('#problem').waitFor();
  assert.match(await phone.problem(), /\+ and the country code/);
});

test('the page has never seen the API key', async () => {
  const seen = await phone.page.evaluate(async () => {
    const names = performance.getEntriesByType('resource').map(({ name }) => name);
    const own = names.filter((name) => name.startsWith(window.location.origin));
    const texts = await Promise.all(own.map(async (name) => (await fetch(name)).text()));
    return [document.documentElement.outerHTML, ...names, ...texts].join('\n');
  });
  assert.ok(seen.includes('"token"'));
  assert.ok(!seen.includes(gateway.apiKey));
});
