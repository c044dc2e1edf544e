import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './until.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const STOP_LIMIT_MS = 10_000;

/** The binary that the environment names, else the one of a debug build. */
function binary(setting, name) {
  const path = resolve(ROOT, process.env[setting] ?? `target/debug/${name}`);
  if (!existsSync(path)) {
    throw new Error(`${path} is not there: run cargo build, or set ${setting}`);
  }
  return path;
}

export const gatewayBinary = () => binary('SAUTIKIT_BIN', 'sautikit-gateway');
export const loadtestBinary = () => binary('SAUTIKIT_LOADTEST_BIN', 'sautikit-loadtest');

/** A child process with its output kept by lines. */
export class Program {
  #child;
  stdout = [];
  stderr = [];

  constructor(path, args, { env = {}, cwd } = {}) {
    // Settings of the surrounding shell must not leak into the tests.
    const own = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('SAUTIKIT_') && !name.startsWith('DATABASE_URL'),
    );
    this.name = `${path.split('/').at(-1)} ${args[0]}`;
    this.#child = spawn(path, args, {
      cwd,
      env: { ...Object.fromEntries(own), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.on('error', (error) => this.stderr.push(String(error)));
    collect(this.#child.stdout, this.stdout);
    collect(this.#child.stderr, this.stderr);
  }

  get running() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Waits for `probe`, and says what the program said when it does not come. */
  async until(what, probe, options) {
    try {
      return await until(
        what,
        () => {
          if (!this.running) {
            throw new Error('it has stopped');
          }
          return probe();
        },
        options,
      );
    } catch (error) {
      throw new Error(`${this.name}: ${error.message}\n${this.tail()}`, { cause: error });
    }
  }

  /** The end of what it said. */
  tail(lines = 60) {
    return [...this.stdout.slice(-lines), ...this.stderr.slice(-lines)].join('\n');
  }

  /** This signal, and SIGKILL where that is not enough; gives the exit code. */
  async stop(signal = 'SIGTERM') {
    if (this.running) {
      const exit = once(this.#child, 'exit');
      this.#child.kill(signal);
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
      await exit;
      clearTimeout(timer);
    }
    return this.#child.exitCode;
  }
}

function collect(stream, lines) {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop();
    lines.push(...parts);
  });
  stream.on('end', () => {
    if (rest !== '') {
      lines.push(rest);
    }
  });
}

/** Runs a program to its end; its standard output, or an error with all it said. */
export async function run(path, args, options) {
  const program = new Program(path, args, options);
  await until(`${program.name} to end`, () => !program.running);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const code = await program.stop();
  if (code !== 0) {
    throw new Error(`${program.name} ended with ${code}\n${program.tail()}`);
  }
  return program.stdout.join('\n');
}
