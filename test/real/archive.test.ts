// A real hastd with an archive alone, on each kind of store (archive-story.ts): kills in the first
// copy and in rounds, prunes, pins; every point that is kept is read back from the url alone.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MIB } from '../../src/base/units.js';
import { needTool } from '../real.js';
import { endRgw, RGW_TOOLS, startRgw } from '../store/rgw.js';
import { badWeather, directoryPlace, rgwPlace, strictPlace } from './archive-places.js';
import { tellArchive } from './archive-story.js';
import { seedFromEnv } from './guest.js';

const SEED = seedFromEnv();

test('a directory, sealed with a passphrase: kills, prunes, pins', async (t) => {
  const told = await tellArchive(
    t,
    {
      seed: SEED,
      rounds: 3,
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
  assert.ok(told.points >= 5 && told.kept >= 3 && told.kills >= 2, JSON.stringify(told));
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
      lookEvery: 0,
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

test('Ceph RGW: kills of hastd and of the gateway, prunes, pins', async (t) => {
  if (!needTool(t, ...RGW_TOOLS)) return;
  const folder = mkdtempSync(join(tmpdir(), 'hast-rgw-'));
  t.after(async () => {
    await endRgw(folder);
    rmSync(folder, { recursive: true, force: true });
  });
  const rgw = await startRgw(folder);
  const told = await tellArchive(
    t,
    {
      seed: SEED,
      rounds: 4,
      sizeBytes: 16 * MIB,
      firstBytes: 6 * MIB,
      firstKills: 1,
      killOneIn: 2,
      lookEvery: 0,
    },
    () => rgwPlace(rgw, 'hast'),
  );
  assert.ok(told.points >= 6 && told.kept >= 3 && told.kills >= 1, JSON.stringify(told));
});
