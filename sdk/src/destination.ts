import { SautikitError } from './error.js';

/**
 * The user part of the address to call: an E.164 number with its plus sign, or the identity of
 * somebody in the same workspace. Spaces, dots, dashes and brackets in a number are fine.
 */
export function destinationUser(to: string): string {
  const text = to.trim();
  const number = text.replace(/^tel:/i, '').replace(/[\s().-]/g, '');
  if (/^\+[1-9]\d{2,14}$/.test(number)) {
    return number;
  }
  if (/^[A-Za-z0-9._-]{1,64}$/.test(text) && /[A-Za-z]/.test(text)) {
    return text;
  }
  throw new SautikitError('call.invalid_number');
}

/** A caller number: E.164 only. */
export function callerNumber(from: string): string {
  const number = from.replace(/[\s().-]/g, '');
  if (/^\+[1-9]\d{2,14}$/.test(number)) {
    return number;
  }
  throw new SautikitError('call.from_not_allowed', {
    message: 'The number to call from must be written with + and the country code.',
  });
}
