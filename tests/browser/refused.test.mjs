import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { startCarrier } from './lib/carrier.mjs';
import { launch } from './lib/chromium.mjs';
import { NUMBER, startGateway } from './lib/gateway.mjs';
import { openPhone } from './lib/phone-page.mjs';
import { startSite } from './lib/site.mjs';
import { signedToken } from './lib/token.mjs';
import { until } from './lib/until.mjs';

let carrier;
let gateway;
let browser;

before(async () => {
  carrier = await startCarrier();
  gateway = await startGateway(carrier.address, 0);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  await carrier?.stop();
});

/** Opens the page on a site of its own for one test. */
async function opened(t, extra, behind = gateway) {
  const site = await startSite(behind, extra);
  const phone = await openPhone(browser, site.url);
  t.after(async () => {
    await phone.page.close();
    site.stop();
  });
  return phone;
}

test('without balance the page says what to do, and no call is made', async (t) => {
  const phone = await opened(t);
  await phone.ready();
  await phone.call('+254722000001');
  await phone.page.locator('#problem').waitFor();
  assert.match(await phone.problem(), /balance|top up/i);
  assert.equal(await phone.status(), 'The call did not go through.');
  assert.deepEqual((await gateway.api.get('/v1/calls')).data, []);
  assert.deepEqual(carrier.calls(), []);
});

test('a caller number that is not claimed is said in words, and the carrier hears nothing', async (t) => {
  const silent = createSocket('udp4').bind(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const heard = [];
  silent.on('message', (bytes) => heard.push(bytes.toString().split(' ')[0]));
  const rich = await startGateway(`127.0.0.1:${silent.address().port}`);
  t.after(() => rich.stop());
  // The workspace has one number, and the backend's tokens name another.
  const tokens = { numbers: ['+254700000099'] };
  const phone = await opened(
    t,
    { '/api/sip-token': async () => signedToken(rich, 300, { from: tokens.numbers }) },
    rich,
  );
  await phone.ready();
  await phone.call('+254722000001');
  await phone.page.locator('#problem').waitFor();
  assert.match(await phone.problem(), /caller number is not claimed by this workspace/);
  assert.equal(await phone.status(), 'The call did not go through.');
  assert.deepEqual((await rich.api.get('/v1/calls')).data, []);
  assert.deepEqual(heard, []);

  // With its own number the same page's call gets out.
  tokens.numbers = [NUMBER];
  await phone.page.reload();
  await phone.ready();
  await phone.call('+254722000001');
  await until('an INVITE at the carrier', () => heard.includes('INVITE'));
});

test('the page warns before the balance ends, and says so when it has', async (t) => {
  const poor = await startGateway(carrier.address, 40);
  t.after(() => poor.stop());
  const phone = await opened(t, {}, poor);
  await phone.ready();
  await phone.call('+254722000001');
  await until('a warning', async () => /pays for [1-8] seconds? more/.test(await phone.problem()));
  await until('the end', async () => (await phone.status()) === 'Call ended.');
  assert.match(await phone.problem(), /balance is used up/i);
  const [call] = await until('the record', async () => {
    const { data } = await poor.api.get('/v1/calls');
    return data[0]?.ended_at && data;
  });
  assert.deepEqual([call.hangup_by, call.cost_minor, call.duration_seconds], ['balance', 40, 8]);
});

test('a refused token is explained, though a browser cannot see why its handshake failed', async (t) => {
  const phone = await opened(t, {
    '/api/sip-token': async () => {
      const answer = await gateway.api.token();
      const [head, claims] = answer.token.split('.');
      return JSON.stringify({ ...answer, token: `${head}.${claims}.${'A'.repeat(43)}` });
    },
  });
  await phone.page.locator('#line[data-state="disconnected"]').waitFor();
  await phone.page.locator('#problem').waitFor();
  assert.match(await phone.problem(), /token/i);
});

test('a gateway that is not there is named', async (t) => {
  const phone = await opened(t, {
    '/api/sip-token': async () => {
      const answer = await gateway.api.token();
      return JSON.stringify({ ...answer, ws_url: 'ws://127.0.0.1:9/' });
    },
  });
  await phone.page.locator('#problem').waitFor();
  assert.match(await phone.problem(), /127\.0\.0\.1 cannot be reached/);
});

test('a refused microphone is said in words', async (t) => {
  const phone = await opened(t);
  await phone.ready();
  await phone.page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () =>
      Promise.reject(new DOMException('no', 'NotAllowedError'));
  });
  await phone.call('+254722000001');
  await phone.page.locator('#problem').waitFor();
  assert.match(await phone.problem(), /microphone/);
});
