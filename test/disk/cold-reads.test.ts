// Many reads at once of what is not in the page cache, with few places on the pool: every byte is
// the file's, also for those that find their pages in the cache after they have waited.
import assert from 'node:assert/strict';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom, systemRandom } from '../../src/base/random.js';
import { poolShare } from '../../src/disk/device-pool.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { scratch } from '../real.js';

const SIZE_BYTES = 8 * 1024 * 1024;

for (const places of [1, 2, 4]) {
  test(`cold reads, ${places} on the pool`, async (t) => {
    const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
    t.diagnostic(`HAST_SEED=${seed}`);
    const random = seededRandom(seed);
    const path = join(scratch(t), 'disk');
    const fd = openSync(path, 'w+');
    t.after(() => closeSync(fd));
    const content = Buffer.from(random.bytes(SIZE_BYTES));
    writeSync(fd, content);
    fsyncSync(fd);
    const options = { ownsFd: false, poolShare: poolShare(places) };
    const device = openFileDevice(fd, path, 'file', SIZE_BYTES, options);
    for (let round = 0; round < 10; round += 1) {
      device.dropCached(0, SIZE_BYTES);
      const reads = Array.from({ length: 64 }, async () => {
        const length = 1 + random.below(random.below(4) === 0 ? 200_000 : 8192);
        const offset = random.below(SIZE_BYTES - length);
        const into = Buffer.alloc(length);
        if (!device.readCached(offset, into)) await device.read(offset, into);
        assert.ok(into.equals(content.subarray(offset, offset + length)), `${length} at ${offset}`);
      });
      await Promise.all(reads);
    }
    await device.close();
  });
}
