import { openPage } from './chromium.mjs';

/** The demo page as a user works it. */
export async function openPhone(browser, url) {
  const page = await openPage(browser, `${url}/phone`);
  const state = (value, timeout = 15_000) =>
    page.locator(`#phone[data-state="${value}"]`).waitFor({ timeout });
  return {
    page,
    state,
    ready: () => page.locator('#line[data-state="connected"]').waitFor({ timeout: 15_000 }),
    async call(number) {
      await page.getByLabel('Number to call').fill(number);
      await page.getByRole('button', { name: 'Call', exact: true }).click();
    },
    hangup: () => page.getByRole('button', { name: 'Hang up' }).click(),
    cancel: () => page.getByRole('button', { name: 'Cancel' }).click(),
    status: () => page.locator('#status').textContent(),
    cost: () => page.locator('#cost').textContent(),
    problem: () => page.locator('#problem').textContent(),
  };
}
