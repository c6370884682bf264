// Power cuts that leave any part of what was not flushed (power-story.ts), of either side; then the
// teeth: a hastd that only says that it has synced is found out. HAST_CUTS: cuts of each side.
import { test } from 'node:test';
import { seedFromEnv } from './guest.js';
import { replicaCuts, replicaLies, senderCuts, senderLies } from './power-story.js';

const SEED = seedFromEnv();
const CUTS = Number(process.env['HAST_CUTS'] ?? (process.env['HAST_REQUIRE_ALL'] === '1' ? 5 : 4));

for (const metaflush of ['on', 'off'] as const) {
  const cuts = Math.ceil(CUTS / 2);
  test(`${cuts} power cuts of a primary, torn, metaflush ${metaflush}`, (t) =>
    senderCuts(t, { metaflush, seed: SEED, cuts }));
}

test(`${CUTS} power cuts of a replica, torn: what was answered for is there`, (t) =>
  replicaCuts(t, { metaflush: 'on', seed: SEED, cuts: CUTS }));

test('a primary that swallows syncs is found out', (t) => senderLies(t, SEED));

test('a replica that swallows syncs is found out', (t) => replicaLies(t, SEED));
