import { expect, test, vi } from 'vitest';

test('importing touches nothing: the package can be loaded where there is no browser', async () => {
  for (const name of ['window', 'document', 'navigator', 'WebSocket', 'RTCPeerConnection']) {
    vi.stubGlobal(name, undefined);
  }
  const sdk = await import('../src/index.js');
  const client = new sdk.SautikitClient({ tokenUrl: '/t' });
  expect(client.state).toBe('idle');
  expect(sdk.SautikitClient.isSupported()).toBe(false);
  await client.disconnect();
  vi.unstubAllGlobals();
});
