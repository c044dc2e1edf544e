import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { hearsSound, launch } from './lib/chromium.mjs';
import { addresses, client, folder } from './lib/gateway.mjs';
import { openPhone } from './lib/phone-page.mjs';
import { gatewayBinary, loadtestBinary, Program } from './lib/program.mjs';

let home;
let demo;
let browser;

before(async () => {
  home = await folder();
  loadtestBinary();
  const env = await addresses();
  // The demo knows by itself what its page has to dial.
  delete env.SAUTIKIT_WS_URL;
  demo = new Program(gatewayBinary(), ['demo'], { env, cwd: home });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  const code = await demo?.stop();
  await rm(home, { recursive: true, force: true });
  assert.equal(code, 0, 'the demo ends cleanly on SIGTERM');
});

test('the demo prints a page and a key; the page calls, the key sees the call', async () => {
  const said = await demo.until('the page’s address and the key', () => {
    const text = demo.stdout.join('\n');
    const page = /(http:\/\/[^\s/]+)\/phone/.exec(text)?.[1];
    const key = /sk_live_[A-Za-z0-9_-]+/.exec(text)?.[0];
    return page && key && { page, key };
  });
  const api = client(said.page, said.key);
  const phone = await openPhone(browser, said.page);
  await phone.ready();
  await phone.call('+254722000001');
  await phone.state('answered');
  await hearsSound(phone.page);
  await phone.hangup();
  await phone.state('ended');

  const call = await api.lastCall();
  assert.equal(call.status, 'completed');
  assert.equal(call.cost_minor, 5 * call.duration_seconds);
  const wallet = await api.wallet();
  assert.equal(wallet.balance_minor, 10_000 - call.cost_minor);
  assert.ok(!(await phone.page.content()).includes(said.key));
});
