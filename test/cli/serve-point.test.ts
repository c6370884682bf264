// What `hastctl serve` opens, in this process: what a cache takes of the memory, and that it is as
// large as the disk can use.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../src/base/log.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { type ServeRequest, servePoint } from '../../src/cli/serve-point.js';
import { usefulBytes } from '../../src/restore/chunk-caches.js';
import { ChunkSlots } from '../../src/restore/chunk-slots.js';
import { MIB, plugged } from './plugged-archive.js';

test('a cache that is larger than the disk takes no memory for what cannot be', async (t) => {
  const { url } = await plugged(t);
  const request: ServeRequest = {
    ...{ url, endpoint: null, region: null, checksums: 'supported', keyPath: null },
    ...{ point: { kind: 'number', number: 4 }, pointText: '4', address: null },
    ...{ writable: false, overlayPath: null, cacheBytes: 1024 ** 4 },
  };
  const before = process.memoryUsage().arrayBuffers;
  const served = await servePoint(request, silentLog);
  const taken = process.memoryUsage().arrayBuffers - before;
  await served.close();
  assert.ok(taken < 64 * MIB, `${taken} bytes, near 200 MB are for all slots`);
});

test('all of a disk finds its place in a cache that is large enough', () => {
  assert.equal(usefulBytes(4 * MIB, 1024 ** 3), 4 * MIB);
  for (const chunks of [1, 7, 8, 9, 250, 4099]) {
    const slots = new ChunkSlots(usefulBytes(1024 ** 4, chunks * CHUNK_BYTES) / CHUNK_BYTES);
    for (let chunk = 0; chunk < chunks; chunk += 1) slots.take(chunk);
    for (let chunk = 0; chunk < chunks; chunk += 1) assert.ok(slots.has(chunk), `${chunk}`);
    assert.ok(slots.count <= chunks + 8);
  }
});
