// A real hastd with an archive alone, on each kind of store (archive-story.ts): kills in the first
// copy and in rounds, prunes, pins; every point that is kept is read back from the url alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIB } from '../../src/base/units.js';
import { badWeather, directoryPlace, strictPlace } from './archive-places.js';
import { tellArchive } from './archive-story.js';
import { seedFromEnv } from './guest.js';

const SEED = seedFromEnv();

test('a directory, sealed with a passphrase: kills, prunes, pins', async (t) => {
  const told = await tellArchive(
    t,
    {
      seed: SEED,
      rounds: 5,
      sizeBytes: 96 * MIB,
      firstBytes: 72 * MIB,
      sealed: 'passphrase',
      statements: 'rate 400mbit',
      firstKills: 2,
      killOneIn: 2,
      lookEvery: 0,
    },
    directoryPlace,
  );
  assert.ok(told.points >= 7 && told.kept >= 3 && told.kills >= 2, JSON.stringify(told));
});

test('a strict S3 in bad weather, sealed with a key: kills, prunes, pins', async (t) => {
  const told = await tellArchive(
    t,
    {
      seed: SEED,
      rounds: 6,
      sizeBytes: 16 * MIB,
      firstBytes: 6 * MIB,
      sealed: 'key',
      firstKills: 2,
      killOneIn: 2,
      lookEvery: 3,
    },
    async (_folder, random) => {
      const { place, s3 } = await strictPlace(t);
      s3.latencyMs = 2;
      badWeather(s3, random, 8);
      return place;
    },
  );
  assert.ok(told.points >= 8 && told.kept >= 3 && told.kills >= 1, JSON.stringify(told));
});
