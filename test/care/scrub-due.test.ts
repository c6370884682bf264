// How much of the background pass is due: a share a day, in small steps, never made up for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_BYTES, GIB, TIB } from '../../src/base/units.js';
import { scrubDue } from '../../src/care/scrub.js';

test('due: one percent a day, in small steps, whatever the disk and the calls', () => {
  for (const sizeBytes of [GIB, 100 * GIB, TIB, 64 * TIB, 256 * TIB]) {
    for (const callMs of [250, 1000, 1700]) {
      let [owed, total, most] = [0, 0, 0];
      const hours = sizeBytes < TIB ? 240 : 2;
      for (let ms = 0; ms < hours * 3_600_000; ms += callMs) {
        const due = scrubDue(0.01, sizeBytes, callMs, owed);
        owed = due.owed;
        total += due.chunks;
        most = Math.max(most, due.chunks);
      }
      const wanted = ((sizeBytes / CHUNK_BYTES) * 0.01 * hours) / 24;
      assert.ok(Math.abs(total - wanted) <= 1 + wanted / 1000, `${total} of ${wanted} chunks`);
      assert.ok(most <= Math.max(16, Math.ceil((wanted / (hours * 3600)) * 2)), `${most} at once`);
    }
  }
});

test('due: time that was missed is not made up for; nothing for no share', () => {
  assert.deepEqual(scrubDue(0.01, TIB, 86_400_000, 0), { chunks: 16, owed: 1 });
  assert.deepEqual(scrubDue(0, TIB, 1000, 0), { chunks: 0, owed: 0 });
  assert.deepEqual(scrubDue(0.01, TIB, -5, 0.5), { chunks: 0, owed: 0.5 });
});
