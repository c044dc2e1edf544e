import { SautikitError } from '../error.js';

/** What the token address, or `getToken`, answers. */
export interface TokenAnswer {
  token: string;
  expires_at?: string;
  expires_in?: number;
  ws_url?: string;
  ice_servers?: RTCIceServer[];
}

/** A token is not used for a new handshake in its last seconds. */
const SPARE_MS = 5000;

/**
 * A call token as it arrived. Its life is `exp − iat`, counted from its arrival: users' clocks are
 * often wrong, so no claim is compared with them.
 */
export class Token {
  readonly value: string;
  /** The user part of the session's address: the `identity` claim, else the workspace. */
  readonly user: string;
  readonly lifeMs: number;
  readonly wsUrl: string | undefined;
  readonly iceServers: RTCIceServer[] | undefined;
  readonly #arrived: number;

  constructor(answer: TokenAnswer | string, now: number) {
    const { token, ws_url, ice_servers } = typeof answer === 'string' ? plain(answer) : answer;
    const claims = claimsOf(token);
    this.value = token;
    this.user = claims.identity ?? claims.sub;
    this.lifeMs = (claims.exp - claims.iat) * 1000;
    this.wsUrl = ws_url;
    this.iceServers = ice_servers;
    this.#arrived = now;
  }

  /** Whether a handshake may still use it. */
  isUsable(now: number): boolean {
    return now - this.#arrived < this.lifeMs - SPARE_MS;
  }

  /** Milliseconds until it ends; 0 when it has. */
  remainingMs(now: number): number {
    return Math.max(0, this.#arrived + this.lifeMs - now);
  }
}

interface Claims {
  sub: string;
  identity?: string;
  iat: number;
  exp: number;
}

function plain(token: string): TokenAnswer {
  return { token };
}

function claimsOf(token: unknown): Claims {
  let claims: Partial<Record<keyof Claims, unknown>> | null;
  try {
    const payload = (token as string).split('.')[1] ?? '';
    claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as typeof claims;
  } catch (cause) {
    throw new SautikitError('token.malformed', { cause });
  }
  const { sub, identity, iat, exp } = claims ?? {};
  if (typeof sub !== 'string' || typeof iat !== 'number' || typeof exp !== 'number' || exp <= iat) {
    throw new SautikitError('token.malformed');
  }
  return typeof identity === 'string' ? { sub, identity, iat, exp } : { sub, iat, exp };
}
