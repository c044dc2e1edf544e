import { SautikitError } from '../error.js';

/**
 * The gateway's WebSocket address: what the page said, else what came with the token, else the
 * server that this script came from (`/sip` on the same host).
 */
export function gatewayAddress(said: string | undefined, withToken: string | undefined): string {
  const address = said ?? withToken ?? scriptAddress();
  let url: URL;
  try {
    url = new URL(address ?? '');
  } catch (cause) {
    throw new SautikitError('client.state', {
      message:
        'The gateway address is not known. Set gatewayUrl, or let the token answer carry ws_url.',
      cause,
    });
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    throw new SautikitError('client.state', {
      message: `The gateway address must begin with wss:// or ws://, not ${url.protocol}//.`,
    });
  }
  return url.href;
}

function scriptAddress(): string | undefined {
  // The UMD bundle has none.
  const script = import.meta.url as string | undefined;
  return script !== undefined && /^https?:/.test(script)
    ? new URL('/sip', script).href.replace(/^http/, 'ws')
    : undefined;
}
