import { createHmac } from 'node:crypto';
import { SIGNING_KEY } from './gateway.mjs';

/** What a customer's backend answers that signs tokens itself; `more` narrows what it may do. */
export function signedToken(gateway, lifeSeconds, more = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const iat = Math.floor(Date.now() / 1000);
  const times = { iat, exp: iat + lifeSeconds };
  const claims = { iss: 'sautikit-sip', sub: gateway.workspace, ...times, ...more };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  const signature = createHmac('sha256', SIGNING_KEY).update(text).digest('base64url');
  return JSON.stringify({ token: `${text}.${signature}`, ws_url: gateway.wsUrl });
}
