import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** As many TCP ports that nobody listens on, each another: all are held until the last is found. */
export async function freeTcpPorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(
    servers.map((server) => {
      server.close();
      return once(server, 'close');
    }),
  );
  return ports;
}

/** A UDP port that nobody listens on. */
export async function freeUdpPort() {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** A range for the trunk side of the relay, below the system's ephemeral ports. */
export function mediaPorts() {
  const first = 10_000 + 2 * Math.floor(Math.random() * 5000);
  return `${first}-${first + 199}`;
}
