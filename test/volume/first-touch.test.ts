// H10, `metaflush on`, on the program's own code: a tracked disk over the intent file of a crash
// world, whose flush the test holds back. The bit is on the medium before the data is on the disk;
// nobody else waits; a flush that fails holds no guest; and a clearer that comes in between.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { intentPageOffset } from '../../src/format/intent-file.js';
import { Core, runNow, section } from '../../src/volume/core.js';
import { confirmIntent, touchIntent } from '../../src/volume/first-touch.js';
import { HoldTimes } from '../../src/volume/hold-times.js';
import { intentWriter } from '../../src/volume/intent.js';
import * as M from '../../src/volume/memory.js';
import { alive, EXTENT_BYTES, type Held, made, PATH, turn } from './held-rig.js';
import { filled } from './rig.js';

describe('H10: a first touch', () => {
  test(
    'the data waits for the bit on the medium, and is a copy',
    alive(async () => {
      const rig = await made();
      const bytes = filled(4096, 7);
      const writing = rig.disks[0].write(3 * EXTENT_BYTES, bytes);
      bytes.fill(0);
      assert.notEqual(writing, 'done');
      await turn();
      assert.deepEqual([rig.onDisk.counts.write, rig.flushes.length], [0, 1]);
      assert.equal(rig.volume.core.liveMap().chunkMask(48), 1, 'marked before it waits (H3)');
      rig.flushes[0]?.resolve();
      await writing;
      assert.equal(rig.onMedium(), 0b1000);
      const now = filled(4096, 0);
      await rig.disks[0].read(3 * EXTENT_BYTES, now);
      assert.deepEqual(now, filled(4096, 7));
      assert.equal(rig.disks[1].write(3 * EXTENT_BYTES, bytes), 'done', 'known to all threads');
      assert.equal(rig.flushes.length, 1);
    }),
  );

  test(
    'writes to other extents overtake one that waits',
    alive(async () => {
      const rig = await made();
      const [disk] = rig.disks;
      const first = disk.write(0, filled(4096, 1));
      await turn();
      rig.flushes[0]?.resolve();
      await first;
      const waiting = disk.write(EXTENT_BYTES, filled(4096, 2));
      await turn();
      assert.equal(disk.write(0, filled(4096, 3)), 'done');
      assert.equal(rig.onDisk.counts.write, 2, 'the one that waits has not written');
      rig.flushes[1]?.resolve();
      await waiting;
    }),
  );

  test(
    'first touches that come while a flush runs share the next one',
    alive(async () => {
      const rig = await made();
      const [disk] = rig.disks;
      const one = disk.write(0, filled(4096, 1));
      await turn();
      const more = [1, 2, 3, 3].map((extent) => disk.write(extent * EXTENT_BYTES, filled(512, 1)));
      await turn();
      assert.equal(rig.flushes.length, 1);
      rig.flushes[0]?.resolve();
      await one;
      await turn();
      assert.deepEqual([rig.onDisk.counts.write, rig.flushes.length], [1, 2]);
      rig.flushes[1]?.resolve();
      await Promise.all(more);
      assert.deepEqual([rig.onMedium(), rig.flushes.length], [0b1111, 2]);
    }),
  );

  test(
    'a write over two extents has both on the medium; zeroes and TRIM wait too',
    alive(async () => {
      const rig = await made(false);
      const [disk] = rig.disks;
      await disk.write(EXTENT_BYTES - 512, filled(1024, 1));
      assert.equal(rig.onMedium(), 0b11);
      rig.onDisk.writeNow(3 * EXTENT_BYTES, filled(4096, 1)); // TRIM leaves a hole alone
      const { zero, punch } = rig.onDisk.counts;
      const zeroing = disk.zero(2 * EXTENT_BYTES, 4096, true, false);
      const trimming = disk.trim(3 * EXTENT_BYTES, 4096);
      assert.deepEqual([rig.onDisk.counts.zero, rig.onDisk.counts.punch], [zero, punch]);
      await Promise.all([zeroing, trimming]);
      assert.equal(rig.onMedium(), 0b1111);
      await disk.write(4 * EXTENT_BYTES, filled(2 * EXTENT_BYTES, 1));
      assert.equal(rig.onMedium(), 0b111111);
    }),
  );

  test(
    'W4: a flush that fails is told and holds no write',
    alive(async () => {
      const rig = await made();
      const writing = rig.disks[0].write(0, filled(4096, 1));
      await turn();
      rig.flushes[0]?.reject(new Error('EIO'));
      await writing;
      assert.deepEqual(rig.troubles, ['intent']);
      assert.equal(rig.onDisk.counts.write, 1);
    }),
  );

  test(
    'is counted with the time it took; later writes are not',
    alive(async () => {
      const rig = await made();
      for (const [at, ms] of [30, 10].entries()) {
        const writing = rig.disks[0].write(at * EXTENT_BYTES, filled(4096, 1));
        await turn();
        await rig.clock.advance(ms);
        rig.flushes[at]?.resolve();
        await writing;
      }
      rig.disks[0].write(0, filled(4096, 1));
      const { firstTouches, firstTouchMicros, firstTouchMicrosMax } = rig.counters[0];
      assert.deepEqual([firstTouches, firstTouchMicros, firstTouchMicrosMax], [2, 40_000, 30_000]);
      assert.equal(rig.counters[1].firstTouches, 0);
      assert.equal(HoldTimes.all(rig.memory.preserveWaits).count, 0);
    }),
  );
});

describe('H9, H10: bits are cleared while a writer flushes', () => {
  /** A published checkpoint, then the clearer. */
  const checkpointed = async (rig: Held): Promise<number> => {
    assert.notEqual(await rig.volume.checkpoint(), 'busy');
    return rig.owner.clearCold();
  };
  /** One data thread's write, taken apart. */
  const threadOf = (rig: Held, thread: number) => {
    const core = new Core(rig.memory, thread);
    const writeIntent = intentWriter(rig.world.openNow(PATH, 'write'));
    const inFile = (): boolean => ((rig.world.peek(PATH)?.[intentPageOffset(0)] ?? 0) & 1) === 1;
    let wrote: boolean | null = null;
    return {
      /** Null: not written; else whether the bit was in the file. */
      write: () => {
        const io = (): void => {
          wrote = inFile();
        };
        runNow(section(core, 0, 4096, writeIntent, io));
        return wrote;
      },
      touch: () => runNow(touchIntent(core, [0], writeIntent)),
      confirm: (clears: number) => runNow(confirmIntent(core, [0], clears)),
    };
  };

  test(
    'what was confirmed by another and cleared since is not confirmed again',
    alive(async () => {
      const rig = await made(false);
      const [one, two] = [threadOf(rig, 2), threadOf(rig, 3)];
      assert.equal(one.write(), null);
      const clears = one.touch();
      assert.ok(clears !== null);
      assert.equal(two.write(), null);
      two.confirm(two.touch() ?? -1);
      assert.equal(two.write(), true);
      assert.equal(await checkpointed(rig), 1);
      assert.equal(one.confirm(clears), 'done');
      assert.equal(one.write(), null, 'it starts over');
      one.confirm(one.touch() ?? -1);
      assert.equal(one.write(), true);
    }),
  );

  test(
    'a bit that is on its way to the medium is left alone',
    alive(async () => {
      const rig = await made(false);
      const one = threadOf(rig, 2);
      one.write();
      const clears = one.touch();
      assert.equal(await checkpointed(rig), 0);
      one.confirm(clears ?? -1);
      assert.equal(one.write(), true);
    }),
  );

  test(
    'W1: a writer that confirms just before the clearer takes the lock',
    alive(async () => {
      const rig = await made(false);
      const [one, two] = [threadOf(rig, 2), threadOf(rig, 3)];
      one.write();
      const clears = one.touch();
      two.write();
      two.confirm(two.touch() ?? -1);
      two.write();
      assert.notEqual(await rig.volume.checkpoint(), 'busy');
      atLock(
        rig.control,
        () => one.confirm(clears ?? -1),
        () => rig.owner.clearCold(),
      );
      const wrote = one.write();
      assert.notEqual(wrote, false, 'W1: data is written and its bit is not in the file');
    }),
  );
});

/** Runs `body`, and lets `other` in just before it tries to lock the file. */
function atLock(control: Int32Array, other: () => void, body: () => void): void {
  const real = Atomics.compareExchange;
  const tapped = (array: Int32Array, at: number, from: number, to: number): number => {
    if (array.buffer === control.buffer && at === M.INTENT_LOCK) {
      Atomics.compareExchange = real;
      other();
    }
    return real(array, at, from, to);
  };
  Object.assign(Atomics, { compareExchange: tapped });
  try {
    body();
  } finally {
    Atomics.compareExchange = real;
  }
}

describe('waits for a preserve are counted', () => {
  for (const cached of [true, false]) {
    test(
      cached ? 'warm' : 'cold',
      alive(async () => {
        const rig = await made(false);
        const [disk] = rig.disks;
        await disk.write(0, filled(2 * CHUNK_BYTES, 1));
        const frozen = await rig.volume.cut(0);
        assert.ok(frozen !== 'busy');
        rig.onDisk.cached = cached;
        const waits = HoldTimes.all(rig.memory.preserveWaits);
        await disk.write(0, filled(4096, 2));
        assert.equal(waits.count, 1);
        await disk.write(4096, filled(4096, 2));
        assert.equal(waits.count, 1, 'preserved already');
        await rig.disks[1].write(CHUNK_BYTES, filled(4096, 2));
        assert.equal(waits.count, 2, 'a row a thread, read as one');
        await frozen.end('drop');
      }),
    );
  }
});
