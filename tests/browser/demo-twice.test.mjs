import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import { hearsSound, launch } from './lib/chromium.mjs';
import { addresses, client, folder } from './lib/gateway.mjs';
import { openPhone } from './lib/phone-page.mjs';
import { gatewayBinary, loadtestBinary, Program } from './lib/program.mjs';
import { until } from './lib/until.mjs';

const BALANCE_MINOR = 10_000;

let browser;
let home;
let env;
let demos;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

beforeEach(async () => {
  home = await folder();
  loadtestBinary();
  env = await addresses();
  demos = [];
});

afterEach(async () => {
  await Promise.all(demos.map((demo) => demo.stop()));
  await rm(home, { recursive: true, force: true });
});

function start(more = {}) {
  const demo = new Program(gatewayBinary(), ['demo'], { env: { ...env, ...more }, cwd: home });
  demos.push(demo);
  return demo;
}

/** The printed key, and the API with it. */
async function ready(demo) {
  const key = await demo.until(
    'the key',
    () => /sk_live_[A-Za-z0-9_-]+/.exec(demo.stdout.join('\n'))?.[0],
  );
  return client(`http://${env.SAUTIKIT_HTTP_ADDR}`, key);
}

/** The demo's page in a call that both sides hear. */
async function talking() {
  const phone = await openPhone(browser, `http://${env.SAUTIKIT_HTTP_ADDR}`);
  await phone.ready();
  await phone.call('+254722000001');
  await phone.state('answered');
  await hearsSound(phone.page);
  return phone;
}

/** What a demo knows of the only call: the record, once it is charged. */
async function charged(api) {
  const { data } = await api.get('/v1/calls');
  assert.equal(data.length, 1);
  const [call] = data;
  assert.equal(call.status, 'completed');
  assert.ok(call.cost_minor > 0, `cost ${call.cost_minor}`);
  const entries = await api.entries(call.id);
  assert.deepEqual(
    entries.map(({ kind, amount_minor }) => [kind, amount_minor]),
    [['debit', -call.cost_minor]],
  );
  const wallet = await api.wallet();
  assert.equal(wallet.balance_minor, BALANCE_MINOR - call.cost_minor);
  return call;
}

/** The processes that run: id and parent. */
async function running() {
  const { stdout } = await promisify(execFile)('ps', ['-e', '-o', 'pid=,ppid=,stat=']);
  const rows = stdout.split('\n').map((row) => row.trim().split(/\s+/));
  // One that has ended may wait for ever for a parent to notice.
  const alive = rows.filter(([, , state]) => state && !state.startsWith('Z'));
  return alive.map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }));
}

/** What a process has started, and what that has. */
async function descendants(pid) {
  const all = await running();
  const of = (parent) =>
    all.filter((each) => each.parent === parent).flatMap((each) => [each.pid, ...of(each.pid)]);
  return of(pid);
}

test('a demo beside a running one fails and leaves that one’s key alone', async () => {
  const api = await ready(start());
  const second = start();
  await until('the end of the second demo', () => !second.running);
  assert.equal(await second.stop(), 1);
  assert.match(second.tail(), /cannot listen there/);
  // Longer than a running gateway takes to see a change of its keys.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.equal((await api.wallet()).balance_minor, BALANCE_MINOR);
  const page = await fetch(`http://${env.SAUTIKIT_HTTP_ADDR}/api/sip-token`);
  assert.equal(page.status, 200);
});

test('a signing key that is too short is told by the name of its file, and nothing is made', async () => {
  await mkdir(join(home, 'data'));
  await writeFile(join(home, 'data', 'signing.key'), 'short');
  const demo = start();
  await until('the end of the demo', () => !demo.running);
  assert.equal(await demo.stop(), 1);
  assert.match(demo.tail(), /data\/signing\.key holds 5 bytes/);
  assert.deepEqual(await readdir(join(home, 'data')), ['signing.key']);
});

test('a demo after another one has a key of its own, and the former is revoked', async () => {
  const first = start();
  const former = await ready(first);
  assert.equal(await first.stop(), 0);
  const api = await ready(start());
  await until('the end of the former key', () =>
    former.get('/v1/wallet').then(
      () => false,
      (error) => error.message.includes('api_key.revoked'),
    ),
  );
  assert.equal((await api.wallet()).balance_minor, BALANCE_MINOR);
});

test('a demo after another one has its call, on the page too, and what is left of its balance', async () => {
  const first = start({ SAUTIKIT_LOG: 'debug' });
  const former = await ready(first);
  const phone = await talking();
  // The gateway's clock, not the page's, decides on the last second.
  await phone.page.evaluate(() => {
    Math.ceil = (value) => Math.floor(value) + 7;
  });
  await phone.hangup();
  await phone.state('ended');
  await former.lastCall();
  const before = await charged(former);
  const bill = `KES ${(before.cost_minor / 100).toFixed(2)}`;
  await until('the bill on the page', async () => (await phone.cost()) === bill);
  await phone.page.close();
  assert.equal(await first.stop(), 0);
  const log = first.stderr.join('\n');
  assert.match(log, /carrier's call ended/);
  assert.doesNotMatch(log, /2547\d{8}|sk_live_|eyJ/, 'a number, key or token is in the log');

  assert.deepEqual(await charged(await ready(start())), before);
  const again = await openPhone(browser, `http://${env.SAUTIKIT_HTTP_ADDR}`);
  await again.ready();
  const shown = `KES ${((BALANCE_MINOR - before.cost_minor) / 100).toFixed(2)}`;
  await until('the balance on the page', async () => {
    return (await again.page.locator('#balance').textContent()) === shown;
  });
  assert.match(
    await again.page.locator('#call-list li').textContent(),
    /\+254722000001.*completed/,
  );
  await again.page.close();
});

test('Ctrl-C under a call ends gateway and carrier at once, and the call is charged once', async () => {
  const demo = start();
  await ready(demo);
  const phone = await talking();
  const started = await descendants(demo.pid);
  assert.ok(started.length > 0);
  const asked = performance.now();
  assert.equal(await demo.stop('SIGINT'), 0);
  const took = performance.now() - asked;
  assert.ok(took < 5000, `it took ${took} ms`);
  const left = await running();
  assert.deepEqual(
    left.filter(({ pid }) => started.includes(pid)),
    [],
  );
  await phone.page.close();
  const call = await charged(await ready(start()));
  assert.equal(call.hangup_by, 'shutdown');
});

test('a killed demo takes its carrier with it', async () => {
  const demo = start();
  await ready(demo);
  const started = await descendants(demo.pid);
  assert.ok(started.length > 0);
  process.kill(demo.pid, 'SIGKILL');
  await until('the end of the carrier', async () => {
    const left = await running();
    return !left.some(({ pid }) => started.includes(pid));
  });
});
