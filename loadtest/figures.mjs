#!/usr/bin/env node
// Measures every figure of docs/performance.md on this machine, the yardstick beside it: rounds in
// which gateway and Kamailio alternate, medians of all rounds, as a table in Markdown on standard
// output. Needs release builds (make release) and Kamailio (see kamailio.sh).
//   node loadtest/figures.mjs [--rounds 3] [--only calls_200,relay]
// What each run reported lies beside the build, in figures/NAME-ROUND.json.

import { execFile } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(here, '..', process.env.CARGO_TARGET_DIR ?? 'target');
const folder = join(target, 'figures');
/** No run is longer than two minutes, and then 45 s until nothing is left of it. */
const RUN_TIMEOUT_MS = 300_000;

const gateway = (args, media = 'bypass') => ({ script: 'measure.sh', args, media });
const kamailio = (args) => ({ script: 'kamailio.sh', args, media: 'bypass' });
/**
 * Costs are taken from the time on when as many ended calls are forgotten as begin: their legs answer
 * for 32 s what a peer may repeat. A ramp of one step is the whole rate at once.
 */
const at = (rate, sessions) =>
  `calls --sessions ${sessions} --rate ${rate} --hold 5 --ramp 33 --ramp-steps 1 --duration 54`;

const HANDSHAKES = 'sessions --sessions 5000 --no-register --duration 0.2';
const REFRESHES = 'sessions --sessions 2000 --refresh 2000 --duration 10';
const IDLE = 'sessions --sessions 5000 --duration 10';

/** What is run in each round, in this order. */
const RUNS = {
  disk: { disk: true },
  calls_200: gateway(at(200, 2000)),
  kamailio_calls_200: kamailio(at(200, 2000)),
  calls_200_idle: gateway(at(200, 17000)),
  calls_500: gateway(at(500, 2000)),
  kamailio_calls_500: kamailio(at(500, 2000)),
  idle: gateway(IDLE),
  kamailio_idle: kamailio(IDLE),
  handshakes: gateway(HANDSHAKES),
  kamailio_handshakes: kamailio(HANDSHAKES),
  refreshes: gateway(REFRESHES),
  kamailio_refreshes: kamailio(REFRESHES),
  relay: gateway('calls --media --sessions 200 --calls 200 --rate 40 --hold 30', 'embedded'),
  audio: gateway('calls --media --sessions 100 --calls 100 --rate 50 --hold 60', 'embedded'),
  minute: gateway('calls --sessions 1000 --rate 100 --duration 60 --hold 5'),
  // With what keeps idle sessions: pings after 30 s, and renewals of some of them.
  idle_10000: gateway('sessions --sessions 10000 --duration 60'),
  drop: gateway('sessions --sessions 5000 --reconnect-at 2 --duration 4 --connecting 256'),
};

const perCall = (report) => report.window.gateway.cpu_us_per_call;
const perSession = (report) => report.memory.kib_per_session;
const handshakes = (report) => 1e6 / report.sessions.opening_cpu_us_per_session;
const registers = (report) => 1e6 / report.window.cpu_us_per_register;

/** `of`: the run and its figure; `than`: the yardstick's; `limit`: at worst, `up` where more is better. */
const FIGURES = [
  {
    name: 'CPU per call, 200 calls/s, µs',
    of: ['calls_200', perCall],
    than: 'kamailio_calls_200',
    limit: 400,
  },
  {
    name: 'CPU per call, 500 calls/s, µs',
    of: ['calls_500', perCall],
    than: 'kamailio_calls_500',
    limit: 300,
  },
  {
    name: 'CPU per call, 200 calls/s, from 17,000 sessions, µs',
    of: ['calls_200_idle', perCall],
  },
  {
    name: 'memory per idle registered session, KiB',
    of: ['idle', perSession],
    than: 'kamailio_idle',
    limit: 16,
  },
  {
    name: 'handshakes per CPU-second',
    of: ['handshakes', handshakes],
    than: 'kamailio_handshakes',
    limit: 14_600,
    up: true,
  },
  {
    name: 'REGISTER refreshes per CPU-second',
    of: ['refreshes', registers],
    than: 'kamailio_refreshes',
    limit: 25_000,
    up: true,
  },
  {
    name: 'INVITE to the carrier’s INVITE, p99 at 200 calls/s, ms',
    of: ['calls_200', (it) => it.calls.invite_to_carrier_ms.p99],
  },
  {
    name: 'INVITE to answer (the carrier adds nothing), p99 at 200 calls/s, ms',
    of: ['calls_200', (it) => it.calls.invite_to_answer_ms.p99],
    than: 'kamailio_calls_200',
  },
  {
    name: 'write and fdatasync alone, p99, ms',
    of: ['disk', (it) => it.write_and_fdatasync_ms.p99],
  },
  {
    name: 'relay, CPU per packet at 200 calls, µs',
    of: ['relay', (it) => it.window.cpu_us_per_packet],
    limit: 8,
  },
  {
    name: '100 calls with audio for 60 s: packets lost to the carrier',
    of: ['audio', (it) => it.audio.to_carrier.lost],
    limit: 0,
  },
  {
    name: '100 calls with audio for 60 s: packets lost to the browsers',
    of: ['audio', (it) => it.audio.to_browser.lost],
    limit: 0,
  },
  {
    name: '100 calls/s for 60 s from 1,000 sessions: completed and debited',
    of: ['minute', (it) => (it.ok ? it.calls.completed : 0)],
    limit: 6000,
    up: true,
  },
  {
    name: 'INVITE to the carrier’s INVITE, p99 at 100 calls/s, ms',
    of: ['minute', (it) => it.calls.invite_to_carrier_ms.p99],
  },
  {
    name: '10,000 idle sessions: share of a core, %',
    of: ['idle_10000', (it) => it.window.gateway.cpu_share * 100],
  },
  {
    name: '5,000 sessions dropped at once: seconds until the last is back',
    of: ['drop', (it) => it.reconnect.seconds],
  },
];

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function short(value) {
  if (Number.isInteger(value) || value >= 1000) return Math.round(value).toLocaleString('en');
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Runs one, and gives its report. One that did not go as it should is told, and has no figure. */
async function run(name, round) {
  const { script, args, media, disk } = RUNS[name];
  const report = join(folder, `${name}-${round}.json`);
  await rm(report, { force: true });
  const file = disk ? join(target, 'release/sautikit-loadtest') : join(here, script);
  const words = disk ? ['disk', '--folder', folder] : args.split(' ');
  const env = { ...process.env, CARGO_TARGET_DIR: target, MEASURE_MEDIA: media ?? 'bypass' };
  try {
    const options = { env, timeout: RUN_TIMEOUT_MS, maxBuffer: 1 << 24 };
    await promisify(execFile)(file, [...words, '--report', report], options);
    return JSON.parse(await readFile(report, 'utf8'));
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write(`${name} FAILED: ${error.message}\n${error.stdout ?? ''}`);
    return undefined;
  }
}

function row({ name, of: [run, figure], than, limit, up }, reports) {
  const values = (key) => (reports[key] ?? []).filter(Boolean).map(figure);
  const own = values(run);
  if (own.length === 0) return [];
  const middle = median(own);
  const holds =
    limit === undefined ? '' : (up ? middle >= limit : middle <= limit) ? 'holds' : '**missed**';
  const yardstick = values(than ?? '').length > 0 ? short(median(values(than))) : '';
  const all = own.map(short).join(', ');
  return [
    `| ${name} | ${short(middle)} | ${all} | ${yardstick} | ${limit === undefined ? '' : short(limit)} | ${holds} |`,
  ];
}

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, only: { type: 'string' } },
});
const rounds = Number(values.rounds);
const names = values.only?.split(',') ?? Object.keys(RUNS);
const unknown = names.filter((name) => !RUNS[name]);
if (unknown.length > 0 || !(rounds >= 1)) {
  process.stderr.write(`--only knows ${Object.keys(RUNS).join(', ')}; --rounds is 1 or more\n`);
  process.exit(64);
}
await mkdir(folder, { recursive: true });
const reports = {};
for (let round = 1; round <= rounds; round += 1) {
  for (const name of names) {
    const began = Date.now();
    (reports[name] ??= []).push(await run(name, round));
    process.stderr.write(
      `round ${round}: ${name}, ${((Date.now() - began) / 1000).toFixed(0)} s\n`,
    );
  }
}
const [{ model }] = cpus();
process.stdout.write(
  [
    `${cpus().length} cores (${model}), Linux ${release()}; medians of ${rounds}\n`,
    '| figure | gateway | each round | Kamailio | at worst | |',
    '|---|---|---|---|---|---|',
    ...FIGURES.flatMap((figure) => row(figure, reports)),
    '',
  ].join('\n'),
);
