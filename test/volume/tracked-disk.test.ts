// TrackedDisk and Volume where the device or the state directory misbehaves: flushes that are
// coalesced and fail (H18), chunks that cannot be read while they are preserved, frozen sets used
// after their end, a gate with several open sections; and the histogram of hold times (H4).
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { deferred } from '../../src/base/sync.js';
import { CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { HoldTimes } from '../../src/volume/hold-times.js';
import * as M from '../../src/volume/memory.js';
import { pieces } from '../../src/volume/tracked-disk.js';
import type { FrozenSet } from '../../src/volume/volume.js';
import { MemoryDevice } from '../disk/memory-device.js';
import { filled, makeRig, type Rig } from './rig.js';

const SIZE_BYTES = 4 * MIB;

function rigOn(device = new MemoryDevice({ sizeBytes: SIZE_BYTES })): Rig & {
  readonly onMemory: MemoryDevice;
} {
  return { ...makeRig(device), onMemory: device };
}

async function cut(rig: Rig): Promise<FrozenSet> {
  const frozen = await rig.volume.cut(0);
  assert.ok(frozen !== 'busy');
  return frozen;
}

const suspect = (error: unknown): boolean => codeOf(error) === 'DISK_SUSPECT';

describe('W3: flush', () => {
  test('flushes that arrive while one runs share the next one', async () => {
    const rig = rigOn();
    const gates = [deferred<void>(), deferred<void>(), deferred<void>()];
    let syncs = 0;
    rig.onMemory.sync = () => {
      syncs += 1;
      return gates[syncs - 1]?.promise ?? Promise.resolve();
    };
    const [disk] = rig.disks;
    const done: string[] = [];
    const flush = (name: string) => disk.flush().then(() => done.push(name));
    const all = [flush('a'), flush('b'), flush('c')];
    assert.equal(syncs, 1);
    gates[0]?.resolve();
    await all[0];
    assert.deepEqual(done, ['a'], 'what came later is not answered by what began earlier');
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(syncs, 2);
    all.push(flush('d'));
    gates[1]?.resolve();
    await Promise.all(all.slice(0, 3));
    assert.deepEqual(done, ['a', 'b', 'c']);
    gates[2]?.resolve();
    await Promise.all(all);
    assert.equal(syncs, 3);
    await disk.flush();
    assert.equal(syncs, 4, 'an idle disk syncs at once');
  });

  test('H18: after a failed fdatasync every flush fails; it is told once', async () => {
    const rig = rigOn();
    const [one, two] = rig.disks;
    rig.onMemory.fail('sync');
    const failed = one.flush();
    const shared = one.flush();
    await assert.rejects(failed, (error) => codeOf(error) === 'DISK_FAILED');
    await assert.rejects(shared, suspect);
    rig.onMemory.heal('sync');
    const { sync } = rig.onMemory.counts;
    await assert.rejects(one.flush(), suspect);
    await assert.rejects(two.flush(), suspect);
    assert.equal(rig.onMemory.counts.sync, sync, 'the kernel is not asked again: it would say yes');
    assert.equal(rig.volume.suspect, true);
    assert.deepEqual(rig.troubles, ['flush']);
    assert.equal(one.write(0, filled(4096, 1)), 'done', 'writes go on');
  });

  test('H18: a flush during which another thread failed is not answered', async () => {
    const rig = rigOn();
    const gate = deferred<void>();
    rig.onMemory.sync = () => gate.promise;
    const flushing = rig.disks[0].flush();
    rig.volume.setSuspect();
    gate.resolve();
    await assert.rejects(flushing, suspect);
  });
});

describe('W4: preserve in trouble', () => {
  test('H21: a chunk that cannot be read is unreadable for the round, no more', async () => {
    const rig = rigOn();
    const [disk] = rig.disks;
    disk.write(0, filled(2 * CHUNK_BYTES, 1));
    const frozen = await cut(rig);
    rig.onMemory.cached = false;
    rig.onMemory.fail('read', 'EIO', 0, CHUNK_BYTES);
    await disk.write(0, filled(CHUNK_BYTES, 2));
    assert.equal(frozen.failed, false, 'not H17: nothing was lost that could be had');
    assert.deepEqual(rig.troubles, []);
    rig.onMemory.heal('read');
    const into = filled(CHUNK_BYTES, 0xee);
    assert.deepEqual(await frozen.read(0, into), { unreadable: 0xffff });
    assert.deepEqual(into, filled(CHUNK_BYTES, 0xee), 'never what was written since');
    assert.equal(await frozen.read(1, into), 'read');
    assert.deepEqual(into, filled(CHUNK_BYTES, 1));
    await frozen.end('merge');
    const next = await cut(rig);
    assert.equal(next.map.chunkMask(0), 0xffff, 'those bits stay dirty');
    assert.equal(await next.read(0, into), 'read');
    assert.deepEqual(into, filled(CHUNK_BYTES, 2));
    await next.end('drop');
  });

  test('a look into the cache that throws leaves no chunk claimed', async () => {
    const rig = rigOn();
    const [disk] = rig.disks;
    disk.write(0, filled(3 * CHUNK_BYTES, 1));
    const frozen = await cut(rig);
    const real = rig.onMemory.readCached.bind(rig.onMemory);
    let throws = 1;
    rig.onMemory.readCached = (offset, into) => {
      throws -= 1;
      if (throws === 0) throw new Error('EIO');
      return real(offset, into);
    };
    const writing = async (): Promise<void> => {
      const done = disk.write(0, filled(3 * CHUNK_BYTES, 2));
      if (done !== 'done') await done;
    };
    await writing().catch(() => {});
    for (const slot of rig.volume.core.slots) {
      assert.ok(slot.states.every((state) => state !== M.CLAIMED));
    }
    await writing();
    await frozen.end('merge');
  });

  test('W4: an intent bit that cannot be written is told, and fails no write', async () => {
    const device = new MemoryDevice({ sizeBytes: SIZE_BYTES });
    const writeIntent = (): void => {
      throw new Error('EROFS');
    };
    const rig = makeRig(device, { writeIntent });
    for (const extent of [0, 1]) {
      assert.equal(rig.disks[0].write(extent * 2 * MIB, filled(4096, 1)), 'done');
    }
    assert.equal(device.counts.write, 2);
    assert.deepEqual(rig.troubles, ['intent'], 'once, not for each write');
    assert.equal(rig.control[M.INTENT_LOCK], 0);
    assert.equal(rig.control[M.OPEN_FIRST], 0, 'the section has ended');
  });
});

describe('zeroes that must be fast', () => {
  const ones = filled(2 * MIB, 1);
  const readBack = async (rig: Rig): Promise<Uint8Array> => {
    const now = filled(ones.length, 0xee);
    await rig.disks[0].read(0, now);
    return now;
  };

  test('are holes, or nothing is done', async () => {
    const rig = rigOn();
    const [disk] = rig.disks;
    await disk.write(0, ones);
    assert.equal(await disk.zero(0, 2 * MIB, false, true), 'slow', 'no hole is allowed');
    rig.onMemory.punches = false;
    assert.equal(await disk.zero(0, 2 * MIB, true, true), 'slow', 'the disk makes none');
    assert.deepEqual(await readBack(rig), ones);
    assert.equal(rig.onMemory.counts.zero, 0);
    rig.onMemory.punches = true;
    assert.equal(await disk.zero(0, 2 * MIB, true, true), 'done');
    assert.deepEqual(await readBack(rig), filled(2 * MIB, 0));
    assert.equal(rig.onMemory.counts.zero, 0, 'nothing was written');
  });

  test('once begun they are finished, fast or not', async () => {
    const rig = rigOn();
    const [disk] = rig.disks;
    await disk.write(0, ones);
    const real = rig.onMemory.punchNow.bind(rig.onMemory);
    rig.onMemory.punchNow = (offset, length) => offset < MIB && real(offset, length);
    assert.equal(await disk.zero(0, 2 * MIB, true, true), 'done');
    assert.deepEqual(await readBack(rig), filled(2 * MIB, 0));
  });

  test('W2: preserve what is frozen', async () => {
    const rig = rigOn();
    const [disk] = rig.disks;
    await disk.write(0, filled(2 * CHUNK_BYTES, 1));
    const frozen = await cut(rig);
    rig.onMemory.cached = false;
    assert.equal(await disk.zero(0, CHUNK_BYTES, true, true), 'done');
    const into = filled(CHUNK_BYTES, 0);
    assert.equal(await frozen.read(0, into), 'read');
    assert.deepEqual(into, filled(CHUNK_BYTES, 1));
    await frozen.end('drop');
  });
});

describe('a frozen set after its end', () => {
  test('is not read as if it stood', async () => {
    const rig = rigOn();
    const [disk] = rig.disks;
    disk.write(0, filled(CHUNK_BYTES, 1));
    const frozen = await cut(rig);
    await frozen.end('merge');
    disk.write(0, filled(CHUNK_BYTES, 2));
    assert.equal(await frozen.read(0, new Uint8Array(CHUNK_BYTES)), 'failed');
  });

  test('W2: a late release does not let writers into the next set', async () => {
    const rig = rigOn();
    const [disk] = rig.disks;
    disk.write(0, filled(CHUNK_BYTES, 1));
    const frozen = await cut(rig);
    await frozen.end('merge');
    frozen.release(0);
    const next = await cut(rig);
    frozen.release(0);
    disk.write(0, filled(CHUNK_BYTES, 2));
    const into = new Uint8Array(CHUNK_BYTES);
    assert.equal(await next.read(0, into), 'read');
    assert.ok(
      into.every((byte) => byte === 1),
      "the chunk is the cut's",
    );
    await next.end('drop');
  });
});

describe('H4: the gate', () => {
  test('is not held longer than the timeout, however many sections are open', async () => {
    const rig = rigOn();
    const alive = setInterval(() => {}, 1000);
    const [first, second] = [M.OPEN_FIRST, M.OPEN_FIRST + 1];
    for (const word of [first, second]) Atomics.store(rig.control, word, 1);
    const closing = setTimeout(() => {
      Atomics.store(rig.control, first, 0);
      Atomics.notify(rig.control, first);
    }, 700);
    assert.equal(await rig.volume.cut(0), 'busy');
    clearTimeout(closing);
    clearInterval(alive);
    const heldMs = rig.volume.holds.maxMicros / 1000;
    assert.ok(heldMs < 1400, `it was held ${heldMs} ms`);
  });

  test('large requests are a row of sections on block borders', () => {
    assert.deepEqual(
      [...pieces(MIB - 512, 2 * MIB)],
      [
        { offset: MIB - 512, length: 512 },
        { offset: MIB, length: MIB },
        { offset: 2 * MIB, length: MIB - 512 },
      ],
    );
    assert.deepEqual([...pieces(512, 0)], []);
  });

  test('hold times: nothing yet, then a histogram in powers of two', () => {
    const holds = new HoldTimes();
    assert.equal(holds.maxMicros, 0);
    assert.equal(holds.quantileMicros(0.5), 0);
    for (let turn = 0; turn < 99; turn += 1) holds.add(0.003);
    holds.add(90);
    assert.equal(holds.maxMicros, 90_000);
    assert.equal(holds.quantileMicros(0.5), 4);
    assert.equal(holds.quantileMicros(0.99), 4);
    assert.equal(holds.quantileMicros(1), 90_000);
    holds.add(0);
    assert.equal(holds.quantileMicros(0), 2);
  });
});
