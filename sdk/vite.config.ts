import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Parts of JsSIP that the SDK never reaches: they would be a tenth of the bundle. */
function trimJsSip(): Plugin {
  const unused = new Set(['./Subscriber', './Notifier', './Message']);
  return {
    name: 'trim-jssip',
    enforce: 'pre',
    resolveId(id, importer) {
      if (id === 'debug') {
        return here('./trim/debug.cjs');
      }
      return importer?.includes('/jssip/lib/UA.js') && unused.has(id)
        ? here('./trim/unused.cjs')
        : undefined;
    },
  };
}

/** The licences of what the bundle contains, beside it. */
function notices(): Plugin {
  const parts = { jssip: 'LICENSE.md', events: 'LICENSE', 'sdp-transform': 'LICENSE' };
  return {
    name: 'third-party-notices',
    generateBundle() {
      const source = Object.entries(parts)
        .map(
          ([name, file]) =>
            `## ${name}\n\n${readFileSync(here(`../node_modules/${name}/${file}`), 'utf8')}`,
        )
        .join('\n');
      this.emitFile({ type: 'asset', fileName: 'THIRD-PARTY-NOTICES.md', source });
    },
  };
}

export default defineConfig({
  plugins: [trimJsSip(), notices()],
  build: {
    target: 'es2022',
    sourcemap: true,
    lib: {
      entry: here('./src/index.ts'),
      name: 'Sautikit',
      formats: ['es', 'umd'],
      fileName: (format) => (format === 'es' ? 'sautikit-browser.js' : 'sautikit-browser.umd.cjs'),
    },
    rolldownOptions: {
      // address.ts knows that UMD has no import.meta.
      checks: { emptyImportMeta: false },
      output: {
        postBanner:
          '/*! @sautikit/browser, Apache-2.0. Contains JsSIP 3.13.8 (MIT): see THIRD-PARTY-NOTICES.md */',
      },
    },
  },
  test: { include: ['test/**/*.test.ts'] },
});
