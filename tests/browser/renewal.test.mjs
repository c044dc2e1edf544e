import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCarrier } from './lib/carrier.mjs';
import { launch, told } from './lib/chromium.mjs';
import { startGateway } from './lib/gateway.mjs';
import { openPhone } from './lib/phone-page.mjs';
import { startSite } from './lib/site.mjs';
import { signedToken } from './lib/token.mjs';
import { until } from './lib/until.mjs';

/** A customer's backend may sign tokens itself, for a shorter life than the gateway's five minutes. */
const LIFE_SECONDS = 10;

let carrier;
let gateway;
let browser;

before(async () => {
  carrier = await startCarrier();
  gateway = await startGateway(carrier.address);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  await carrier?.stop();
});

/** Opens the page on a site that gives `limit` tokens and then fails. */
async function opened(t, limit) {
  const given = [];
  const site = await startSite(gateway, {
    '/api/sip-token': async () => {
      if (given.length >= limit) {
        throw new Error('the backend is away');
      }
      given.push(performance.now());
      return signedToken(gateway, LIFE_SECONDS);
    },
  });
  const phone = await openPhone(browser, site.url);
  t.after(async () => {
    await phone.page.close();
    site.stop();
  });
  await phone.ready();
  const lapsed = () => performance.now() > given[0] + (LIFE_SECONDS + 6) * 1000;
  return { phone, given, lapsed };
}

const slowly = { limitMs: 40_000 };

test('a token is renewed on the same connection, under a live call, and the next call is made', async (t) => {
  const { phone, given, lapsed } = await opened(t, Infinity);
  await phone.call('+254722000001');
  await phone.state('answered');
  await until('the first token to be over', async () => lapsed() && given.length > 1, slowly);
  assert.match(await phone.status(), /^Talking/);
  const { roundTripTime, fractionLost } = await told(phone.page);
  assert.ok(roundTripTime < 1, `the gateway's reports are read: ${roundTripTime}`);
  assert.equal(fractionLost, 0);
  await phone.hangup();
  await phone.state('ended');
  await phone.call('+254722000001');
  await phone.state('answered');
  await phone.hangup();
  await phone.state('ended');
  assert.equal(await phone.problem(), '');
});

test('without a fresh token a live call goes on, and the next one is refused in words', async (t) => {
  const { phone, lapsed } = await opened(t, 1);
  await phone.call('+254722000001');
  await phone.state('answered');
  await until('the only token to be over', async () => lapsed(), slowly);
  assert.match(await phone.status(), /^Talking/);
  await phone.hangup();
  await phone.state('ended');
  await phone.call('+254722000001');
  await until('words', async () => /token/i.test(await phone.problem()), slowly);
  await phone.page.locator('#phone:not([data-state="answered"])').waitFor();
});
