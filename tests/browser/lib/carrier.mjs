import { loadtestBinary, Program } from './program.mjs';

/** Starts the simulated carrier, a process with a UDP port of its own. */
export async function startCarrier() {
  const program = new Program(loadtestBinary(), ['carrier', '--listen', '127.0.0.1:0']);
  const lines = () =>
    program.stdout.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  // Its first line says where it listens; each later one tells of a call that ended.
  const { ready } = await program.until('its address', () => lines()[0]);
  const calls = () => lines().slice(1);
  return {
    address: ready,
    calls,
    /** Waits for what it prints of the ended call to `number`. */
    ended: (number) =>
      program.until(`the end of the call to ${number}`, () =>
        calls().find(({ to }) => to.endsWith(number.replace('+', ''))),
      ),
    stop: () => program.stop(),
  };
}
