import type { SautikitError } from './error.js';
import type { TokenFetcher } from './token/token-source.js';

/** How a client is set up. One of `tokenUrl` and `getToken` is needed. */
export interface ClientOptions {
  /** Your server's route that answers `{token, …}` (GET, same-origin cookies). */
  tokenUrl?: string | URL;
  /** Your own way to a token. */
  getToken?: TokenFetcher;
  /** `wss://…`; else `ws_url` of the token answer, else the server this script came from. */
  gatewayUrl?: string;
  /** Else `ice_servers` of the token answer, else none. */
  iceServers?: RTCIceServer[];
  /** Beyond echo cancellation, noise suppression and automatic gain. */
  microphone?: MediaTrackConstraints;
}

/** How one call is made. */
export interface CallOptions {
  /** One of your claimed numbers; else the token's, else the workspace's default. */
  from?: string;
  displayName?: string;
  /** Further SIP headers; names begin with `X-`. */
  headers?: Record<`X-${string}`, string>;
  microphone?: MediaTrackConstraints;
  /** Hangs up when it is aborted. */
  signal?: AbortSignal;
}

/** Where a client stands. */
export type ClientState = 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'disconnected';

/** Something that the client goes on with. */
export interface Warning {
  code: 'token.renew_failed';
  message: string;
  /** False: it is over. */
  active: boolean;
}

/** What a client tells. */
export interface ClientEvents {
  connecting: undefined;
  /** `resumed`: after a loss, not for the first time. */
  connected: { resumed: boolean };
  reconnecting: { attempt: number; error: SautikitError };
  /** Without an error: by `disconnect()`. */
  disconnected: { error?: SautikitError };
  /** The token could not be renewed and ends in `inMs`. */
  tokenWillExpire: { inMs: number };
  /** The browser wants a click before it plays sound: offer one that calls `startAudio()`. */
  audioBlocked: undefined;
  error: SautikitError;
  warning: Warning;
}
