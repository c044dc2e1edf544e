import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGES = fileURLToPath(new URL('../../../web/dist', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

/**
 * A customer's own web server: it serves the built page and has the API key, which the page never
 * sees. `extra` adds routes, as functions that give a text.
 */
export async function startSite(gateway, extra = {}) {
  const routes = {
    '/api/sip-token': async () => JSON.stringify(await gateway.api.token()),
    '/api/wallet': async () => JSON.stringify(await gateway.api.get('/v1/wallet')),
    '/api/calls': async () => JSON.stringify(await gateway.api.get('/v1/calls?limit=8')),
    ...extra,
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    answer(routes, pathname).then(
      ([type, body]) => response.writeHead(200, { 'Content-Type': type }).end(body),
      (error) => response.writeHead(error.code === 'ENOENT' ? 404 : 502).end(String(error)),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(routes, pathname) {
  if (routes[pathname]) {
    const body = await routes[pathname]();
    return [body.startsWith('<') ? 'text/html' : 'application/json', body];
  }
  const file = pathname === '/phone' ? '/phone/index.html' : normalize(pathname);
  return [TYPES[extname(file)] ?? 'application/octet-stream', await readFile(join(PAGES, file))];
}
