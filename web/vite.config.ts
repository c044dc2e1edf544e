import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

// The gateway serves this folder at /phone, so every asset has an address below it.
export default defineConfig({
  root: fileURLToPath(new URL('./phone', import.meta.url)),
  base: '/phone/',
  build: {
    outDir: fileURLToPath(new URL('./dist/phone', import.meta.url)),
    emptyOutDir: true,
    target: 'es2022',
  },
});
