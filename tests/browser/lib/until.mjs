/** Asks `probe` again and again until it gives something true; returns that. */
export async function until(what, probe, { limitMs = 15_000, everyMs = 100 } = {}) {
  const end = performance.now() + limitMs;
  let last;
  for (;;) {
    try {
      const found = await probe();
      if (found) {
        return found;
      }
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      throw new Error(`waited ${limitMs} ms for ${what}`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
