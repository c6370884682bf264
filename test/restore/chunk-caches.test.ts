// The cache of chunks in a file: what is handed out is what was put under that number, whoever
// takes its place while it is being read.
import assert from 'node:assert/strict';
import { pbkdf2 } from 'node:crypto';
import { writeSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { silentLog } from '../../src/base/log.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { FileChunks } from '../../src/restore/chunk-caches.js';
import { namelessFile } from '../../src/restore/overlay-file.js';
import { scratch } from '../real.js';

const SLOTS = 8;
const busy = promisify(pbkdf2);

const content = (chunk: number): Uint8Array => new Uint8Array(CHUNK_BYTES).fill(chunk + 1);

test('a chunk that takes the place of one that is being read is not taken for it', async (t) => {
  const fd = namelessFile(scratch(t));
  const cache = new FileChunks(fd, SLOTS * CHUNK_BYTES, silentLog);
  t.after(() => cache.close());
  const into = new Uint8Array(CHUNK_BYTES);
  for (let chunk = 0; chunk < SLOTS; chunk += 1) {
    cache.put(chunk, content(chunk));
    while (!(await cache.get(chunk, into))) await turn();
    assert.deepEqual(into, content(chunk));
  }
  // The pool has its hands full: the read waits, and finds what was written since.
  const work = Array.from({ length: 16 }, () => busy('a', 'b', 20_000, 32, 'sha256'));
  const reading = cache.get(0, into);
  cache.put(SLOTS, content(SLOTS));
  assert.ok(!cache.has(0), 'it took the place of the first one');
  writeSync(fd, content(SLOTS), 0, CHUNK_BYTES, 0);
  assert.equal(await reading, false);
  await Promise.all(work);
  while (!(await cache.get(SLOTS, into))) await turn();
  assert.deepEqual(into, content(SLOTS), 'and is there itself');
});
