// `hastctl prune` of a primary stands in line with the rounds of its archives.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { deferred } from '../../src/base/sync.js';
import { prunePrimary } from '../../src/daemon/prune-archives.js';
import { driverWorld, SETTINGS } from './driver-world.js';

const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

const ARCHIVE = {
  url: 's3://bucket/some/vm1',
  base: 's3://bucket/some',
  endpoint: null,
  region: null,
  checksums: 'supported',
  storageClass: null,
  keyPath: null,
  timezone: null,
  verifyBytes: 0,
} as const;

test('a prune takes the session of its turn, not one that is renewed before', async () => {
  const { driver, link } = await driverWorld(1);
  await driver.apply({ ...SETTINGS, archive: ARCHIVE });
  const turn = deferred<void>();
  const before = driver.exclusive(() => turn.promise);
  const resource = { settings: { name: 'vm1' }, parts: { drivers: [driver] } };
  const pruning = prunePrimary(resource, { target: null, dryRun: true });
  for (let turns = 0; turns < 100; turns += 1) await Promise.resolve();
  assert.equal(link.up, false, 'it has none while it waits');
  turn.resolve();
  await before;
  const { archives } = await pruning;
  assert.equal(link.up, true);
  assert.deepEqual(
    archives.map(({ url }) => url),
    [ARCHIVE.url],
  );
  await driver.close();
});
