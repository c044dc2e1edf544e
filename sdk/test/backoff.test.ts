import { expect, test } from 'vitest';
import { Backoff } from '../src/backoff.js';

test('the first wait is short, later ones double up to the top and never fall together', () => {
  const backoff = new Backoff({ firstMs: 300, stepMs: 500, topMs: 15_000 });
  const waits = Array.from({ length: 40 }, () => backoff.next());
  expect(waits[0]).toBeLessThanOrEqual(300);
  waits.slice(1).forEach((wait, index) => {
    const step = Math.min(15_000, 500 * 2 ** index);
    expect(wait).toBeGreaterThanOrEqual(step / 2);
    expect(wait).toBeLessThanOrEqual(step);
  });
  backoff.reset();
  expect(backoff.next()).toBeLessThanOrEqual(300);
});
