import { fileURLToPath } from 'node:url';
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', 'tests/browser/fixtures/**'] },
  js.configs.recommended,
  {
    rules: {
      'max-classes-per-file': ['error', 1],
      'max-lines': ['error', 400],
      'max-lines-per-function': ['error', { max: 70, skipComments: true }],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        project: [
          'sdk/tsconfig.json',
          'sdk/tsconfig.node.json',
          'web/tsconfig.json',
          'web/tsconfig.node.json',
        ],
        tsconfigRootDir: fileURLToPath(new URL('..', import.meta.url)),
      },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    },
  },
  {
    files: ['**/test/**/*.ts', 'tests/browser/**'],
    rules: { 'max-lines-per-function': 'off', 'max-classes-per-file': 'off' },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'process',
          'console',
          'URL',
          'fetch',
          'setTimeout',
          'clearTimeout',
          'setInterval',
          'clearInterval',
          'Buffer',
          'AbortSignal',
          'document',
          'window',
          'navigator',
          'JsSIP',
          'WebSocket',
          'performance',
          'AudioContext',
          'DOMException',
          'RTCPeerConnection',
          'Response',
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
);
