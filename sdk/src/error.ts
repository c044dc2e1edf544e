import { ERROR_FACTS, type ErrorCode } from './error-code.js';

/** What {@link SautikitError} can be told beyond its code. */
export interface ErrorDetails {
  message?: string | undefined;
  fatal?: boolean | undefined;
  retryable?: boolean | undefined;
  retryAfterMs?: number | undefined;
  sip?: { code: number; reason: string } | undefined;
  gatewayCode?: string | undefined;
  cause?: unknown;
}

/** An error with a code to decide by and a message that says cause and next step. */
export class SautikitError extends Error {
  override readonly name = 'SautikitError';
  readonly code: ErrorCode;
  /** The client cannot go on by itself: connect() must be called again, after a cure. */
  readonly fatal: boolean;
  /** The same again, a little later, may work. */
  readonly retryable: boolean;
  /** How long to wait before that, where the gateway said so. Milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The SIP answer behind the error. */
  readonly sip: { code: number; reason: string } | undefined;
  /** The gateway's own code, as in its HTTP API and `X-Sautikit-Error`. */
  readonly gatewayCode: string | undefined;

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    const facts = ERROR_FACTS[code];
    super(details.message ?? facts.text, { cause: details.cause });
    this.code = code;
    this.fatal = details.fatal ?? facts.fatal;
    this.retryable = details.retryable ?? facts.retryable;
    this.retryAfterMs = details.retryAfterMs;
    this.sip = details.sip;
    this.gatewayCode = details.gatewayCode;
  }

  /** `error` itself where it is one of ours, else a new one of `code` with `error` as its cause. */
  static from(error: unknown, code: ErrorCode): SautikitError {
    return error instanceof SautikitError ? error : new SautikitError(code, { cause: error });
  }
}
