import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freeTcpPorts, freeUdpPort, mediaPorts } from './ports.mjs';
import { gatewayBinary, Program, run } from './program.mjs';
import { until } from './until.mjs';

export const NUMBER = '+254700000001';
export const BALANCE_MINOR = 10_000;
export const SIGNING_KEY = 'a-key-of-a-test-0123456789abcdef0123456789';

/** An empty folder for one test's files. */
export function folder() {
  return mkdtemp(join(tmpdir(), 'sautikit-test-'));
}

/** Addresses of a gateway that takes no port anybody else has. */
export async function addresses() {
  const [http, ws, admin] = await freeTcpPorts(3);
  const udp = await freeUdpPort();
  return {
    SAUTIKIT_HTTP_ADDR: `127.0.0.1:${http}`,
    SAUTIKIT_WS_ADDR: `127.0.0.1:${ws}`,
    SAUTIKIT_WS_URL: `ws://127.0.0.1:${ws}/`,
    SAUTIKIT_ADMIN_ADDR: `127.0.0.1:${admin}`,
    SAUTIKIT_SIP_UDP_ADDR: `127.0.0.1:${udp}`,
    SAUTIKIT_MEDIA_PORTS: mediaPorts(),
    SAUTIKIT_MEDIA_BROWSER_PORT: '0',
  };
}

/** A gateway with one workspace, whose calls go to `carrier`. */
export async function startGateway(carrier, balanceMinor = BALANCE_MINOR) {
  const home = await folder();
  const config = join(home, 'gateway.toml');
  await writeFile(
    config,
    `[[trunk]]
name = "carrier"
uri = "sip:${carrier};transport=udp"
prefixes = ["+254"]
`,
  );
  const env = {
    ...(await addresses()),
    DATABASE_URL: `sqlite://${join(home, 'gateway.db')}?mode=rwc`,
    SAUTIKIT_CONFIG: config,
    SAUTIKIT_SIP_TOKEN_SIGNING_KEY: SIGNING_KEY,
    SAUTIKIT_DRAIN_GRACE_SECONDS: '1',
  };
  const create = ['workspace', 'create', '--name', 'Test', '--balance-minor', String(balanceMinor)];
  const made = await run(gatewayBinary(), [...create, '--number', NUMBER], { env, cwd: home });
  const { workspace_id: workspace, api_key: apiKey } = JSON.parse(made);

  const program = new Program(gatewayBinary(), ['serve'], { env, cwd: home });
  await program.until('/readyz', async () => {
    const answer = await fetch(`http://${env.SAUTIKIT_ADMIN_ADDR}/readyz`);
    return answer.ok;
  });
  const api = client(`http://${env.SAUTIKIT_HTTP_ADDR}`, apiKey);
  return {
    api,
    apiKey,
    workspace,
    url: `http://${env.SAUTIKIT_HTTP_ADDR}`,
    wsUrl: env.SAUTIKIT_WS_URL,
    log: () => program.tail(200),
    async stop() {
      const code = await program.stop();
      await rm(home, { recursive: true, force: true });
      return code;
    },
  };
}

/** The HTTP API with a key: what a customer's server does. */
export function client(url, apiKey) {
  const headers = { Authorization: `Bearer ${apiKey}` };
  const get = async (path) => {
    const answer = await fetch(`${url}${path}`, { headers });
    if (!answer.ok) {
      throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    }
    return answer.json();
  };
  return {
    get,
    async token(body) {
      const json = body && { body: JSON.stringify(body) };
      const answer = await fetch(`${url}/v1/sip/token`, {
        method: 'POST',
        headers: { ...headers, ...(body && { 'Content-Type': 'application/json' }) },
        ...json,
      });
      if (!answer.ok) {
        throw new Error(`POST /v1/sip/token: ${answer.status} ${await answer.text()}`);
      }
      return answer.json();
    },
    /** The newest call, once it is over. */
    lastCall: (known = new Set()) =>
      until('the end of the call in GET /v1/calls', async () => {
        const { data } = await get('/v1/calls');
        return data.find(
          (call) => !known.has(call.id) && !['ringing', 'answered'].includes(call.status),
        );
      }),
    /** The wallet, once nothing is held in it. */
    wallet: () =>
      until('a wallet that holds nothing', async () => {
        const wallet = await get('/v1/wallet');
        return wallet.held_minor === 0 && wallet;
      }),
    /** The ledger's entries for one call. */
    async entries(callId) {
      const { data } = await get('/v1/wallet/ledger');
      return data.filter((entry) => entry.call_id === callId);
    },
  };
}
