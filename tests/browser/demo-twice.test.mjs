import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import { addresses, client, folder } from './lib/gateway.mjs';
import { gatewayBinary, loadtestBinary, Program } from './lib/program.mjs';
import { until } from './lib/until.mjs';

let home;
let env;
let demos;

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

function start() {
  const demo = new Program(gatewayBinary(), ['demo'], { env, cwd: home });
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
  assert.equal((await api.wallet()).balance_minor, 10_000);
  const page = await fetch(`http://${env.SAUTIKIT_HTTP_ADDR}/api/sip-token`);
  assert.equal(page.status, 200);
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
  assert.equal((await api.wallet()).balance_minor, 10_000);
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
