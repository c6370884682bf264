// A bad network for half a minute, with TLS and over plain TCP (network-story.ts). HAST_SECONDS: of
// each; `npm run soak -- network` takes minutes.
import { test } from 'node:test';
import { seedFromEnv } from './guest.js';
import { badNetwork } from './network-story.js';

const SEED = seedFromEnv();
const SECONDS = Number(process.env['HAST_SECONDS'] ?? 12);

for (const tls of [true, false]) {
  test(`a bad network ${tls ? 'under TLS' : 'over plain TCP'}: nothing is lost or wrong`, (t) =>
    badNetwork(t, { tls, seed: SEED, seconds: SECONDS }));
}
