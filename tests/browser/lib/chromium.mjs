import { chromium } from 'playwright-core';
import { until } from './until.mjs';

/** Debian's Chromium with a microphone that beeps. Nothing is downloaded. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.SAUTIKIT_CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      '--autoplay-policy=no-user-gesture-required',
      // Without it a machine that has only `lo` gathers no candidate at all.
      '--allow-loopback-in-peer-connection',
    ],
  });
}

/** A page that keeps its peer connections in sight, so that a test can read their figures. */
export async function openPage(browser, url) {
  const page = await browser.newPage();
  await page.addInitScript(() => {
    const peers = [];
    const Native = window.RTCPeerConnection;
    window.testPeers = peers;
    window.RTCPeerConnection = class extends Native {
      constructor(...args) {
        super(...args);
        peers.push(this);
      }
    };
  });
  page.on('pageerror', (error) => process.stderr.write(`error in the page: ${error.stack}\n`));
  await page.goto(url);
  return page;
}

/** What the gateway's RTCP told the page's newest call of its own stream: `{roundTripTime, fractionLost}`. */
export const told = (page) =>
  page.evaluate(async () => {
    const report = await window.testPeers.at(-1)?.getStats();
    const found = [...(report?.values() ?? [])].find((it) => it.type === 'remote-inbound-rtp');
    return { roundTripTime: found?.roundTripTime, fractionLost: found?.fractionLost };
  });

/** What the page's newest call has heard: `{packetsReceived, totalAudioEnergy}`. */
export function heard(page) {
  return page.evaluate(async () => {
    const report = await window.testPeers.at(-1)?.getStats();
    const found = [...(report?.values() ?? [])].find(({ type }) => type === 'inbound-rtp');
    return {
      packetsReceived: found?.packetsReceived ?? 0,
      totalAudioEnergy: found?.totalAudioEnergy ?? 0,
    };
  });
}

/** Waits until the page hears sound and more packets keep coming. */
export async function hearsSound(page) {
  const first = await until('sound in the page', async () => {
    const now = await heard(page);
    return now.packetsReceived > 0 && now.totalAudioEnergy > 0 && now;
  });
  return until('more packets in the page', async () => {
    const now = await heard(page);
    return now.packetsReceived >= first.packetsReceived + 25 && now;
  });
}
