import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { startCarrier } from './lib/carrier.mjs';
import { hearsSound, launch, openPage } from './lib/chromium.mjs';
import { startGateway } from './lib/gateway.mjs';
import { startSite } from './lib/site.mjs';

let carrier;
let gateway;
let site;
let browser;

/** JsSIP as npm gives it, as one script that sets `JsSIP`. */
async function jssipScript() {
  const [{ output }] = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      lib: {
        entry: fileURLToPath(import.meta.resolve('jssip')),
        formats: ['iife'],
        name: 'JsSIP',
        fileName: 'jssip',
      },
    },
  });
  return output[0].code;
}

before(async () => {
  carrier = await startCarrier();
  gateway = await startGateway(carrier.address);
  const script = await jssipScript();
  site = await startSite(gateway, {
    '/stock': async () => `<!doctype html><title>JsSIP</title><script>${script}</script>`,
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  site?.stop();
  await gateway?.stop();
  await carrier?.stop();
});

test('stock JsSIP, with the token in the address, makes the same first call', async () => {
  const page = await openPage(browser, `${site.url}/stock`);
  const { token } = await gateway.api.token();
  const url = `${gateway.wsUrl}?token=${token}`;
  const call = page.evaluate(
    ({ url, user }) =>
      new Promise((resolve, reject) => {
        const socket = new JsSIP.WebSocketInterface(url);
        const ua = new JsSIP.UA({ sockets: [socket], uri: `sip:${user}@sip.sautikit.local` });
        ua.on('registrationFailed', ({ cause }) => reject(new Error(cause)));
        ua.on('registered', () => {
          const session = ua.call('sip:+254722000001@sip.sautikit.local', {
            mediaConstraints: { audio: true, video: false },
          });
          window.testSession = session;
          session.on('failed', ({ cause }) => reject(new Error(cause)));
          session.on('accepted', ({ response }) =>
            resolve([
              response.getHeader('X-Sautikit-Call-Id'),
              response.getHeader('X-Sautikit-Rate'),
            ]),
          );
          session.connection.addEventListener('track', ({ streams }) => {
            const audio = document.createElement('audio');
            audio.srcObject = streams[0];
            audio.play().catch(reject);
          });
        });
        ua.start();
      }),
    { url, user: gateway.workspace },
  );
  const [callId, rate] = await call;
  assert.equal(rate, '300;per=60;increment=1;currency=KES');
  await hearsSound(page);
  await page.evaluate(() => window.testSession.terminate());

  const over = await gateway.api.lastCall();
  assert.equal(over.id, callId);
  assert.equal(over.status, 'completed');
  assert.equal(over.cost_minor, 5 * over.duration_seconds);
  const entries = await gateway.api.entries(over.id);
  assert.equal(entries.length, 1);
  const line = await carrier.ended('+254722000001');
  assert.ok(line.audio_energy > 0);
});
