import { describe, expect, test } from 'vitest';
import pkg from '../package.json' with { type: 'json' };
import { callerNumber, destinationUser } from '../src/destination.js';
import { SautikitError } from '../src/error.js';
import { codecOf } from '../src/media/codec.js';
import { Rate } from '../src/rate.js';
import { VERSION } from '../src/version.js';

test('the version is the package’s', () => {
  expect(VERSION).toBe(pkg.version);
});

describe('a destination', () => {
  test.each([
    ['+254722000001', '+254722000001'],
    [' +254 (722) 000-001 ', '+254722000001'],
    ['tel:+254722000001', '+254722000001'],
    ['alice.w_1', 'alice.w_1'],
  ])('%j is %s', (to, user) => {
    expect(destinationUser(to)).toBe(user);
  });

  test.each([
    '',
    '0722000001',
    '254722000001',
    '+0722000001',
    '+12',
    '+1234567890123456',
    'a b',
    '+٢٥٤٧٢٢',
  ])('%j is refused before anything is sent', (to) => {
    expect(() => destinationUser(to)).toThrow(SautikitError);
  });

  test('a caller is a number, never an identity', () => {
    expect(callerNumber('+254 700 000001')).toBe('+254700000001');
    expect(() => callerNumber('alice')).toThrow(SautikitError);
  });
});

describe('a rate', () => {
  test.each([
    ['300;per=60;increment=1;currency=KES', 90, 450],
    ['300;per=60;increment=60;currency=KES', 90, 600],
    ['300;per=60;increment=1;currency=KES', 295, 1475],
    ['300;per=60;increment=1', 2.4, 15],
    ['1;per=60;increment=1', 30, 1],
    ['1;per=60;increment=1', 29, 0],
    ['0;per=60;increment=1', 1000, 0],
  ])('%s: %d s cost %d', (header, seconds, cost) => {
    expect(Rate.parse(header)?.cost(seconds)).toBe(cost);
  });

  test.each([undefined, '', 'free', '300;per=0', '300;increment=x', '-1'])(
    '%j is none',
    (header) => {
      expect(Rate.parse(header)).toBeUndefined();
    },
  );
});

test('the codec is the answer’s first, by its name', () => {
  expect(codecOf('m=audio 9 UDP/TLS/RTP/SAVPF 8 126\r\na=rtpmap:8 PCMA/8000\r\n')).toBe('PCMA');
  expect(codecOf('m=audio 9 RTP/AVP 0\r\n')).toBe('PCMU');
  expect(codecOf('m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n')).toBe('opus');
  expect(codecOf('')).toBe('');
});
