import { freeUdpPort } from './ports.mjs';
import { loadtestBinary, Program } from './program.mjs';

/** Starts the simulated carrier, a process with a UDP port of its own. */
export async function startCarrier() {
  const address = `127.0.0.1:${await freeUdpPort()}`;
  const program = new Program(loadtestBinary(), ['carrier', '--listen', address]);
  return {
    address,
    /** What it has printed about calls that ended. */
    calls: () =>
      program.stdout.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)),
    /** Waits for the line of the `count`th call that ended. */
    async ended(count) {
      await program.until(`the end of call ${count}`, () => this.calls().length >= count);
      return this.calls()[count - 1];
    },
    stop: () => program.stop(),
  };
}
