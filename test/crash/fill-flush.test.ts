// A first copy on a file system that forgets what is not flushed when it is asked for holes (ZFS
// before 2.2.2): what a checkpoint in the middle of a pass brings is flushed before it is taken.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { same } from './checks.js';
import { large, started } from './ladder-material.js';
import { limited } from './limit.js';
import type { Knobs } from './nodes.js';
import { Pair } from './pair.js';

/** Tells chunks that were written since the last sync as holes. */
const forgetful: NonNullable<Knobs['primaryDevice']> = (inner) => {
  const unsynced = new Set<number>();
  return {
    ...inner,
    path: inner.path,
    sizeBytes: inner.sizeBytes,
    readCached: (offset, into) => inner.readCached(offset, into),
    read: (offset, into) => inner.read(offset, into),
    readAside: (offset, into) => inner.readAside(offset, into),
    readMedium: (offset, into) => inner.readMedium(offset, into),
    write: (offset, bytes) => inner.write(offset, bytes),
    reserved: (work) => inner.reserved(work),
    zeroNow: (offset, length, mayPunch) => inner.zeroNow(offset, length, mayPunch),
    punchNow: (offset, length) => inner.punchNow(offset, length),
    nextHole: (from) => inner.nextHole(from),
    prefetch: (offset, length) => inner.prefetch(offset, length),
    dropCached: (offset, length) => inner.dropCached(offset, length),
    close: () => inner.close(),
    writeNow: (offset, bytes) => {
      inner.writeNow(offset, bytes);
      for (let at = offset; at < offset + bytes.length; at += CHUNK_BYTES) {
        unsynced.add(Math.floor(at / CHUNK_BYTES));
      }
    },
    sync: async () => {
      const written = [...unsynced];
      await inner.sync();
      for (const chunk of written) unsynced.delete(chunk);
    },
    nextData: (from) => {
      let at = inner.nextData(from);
      while (at < inner.sizeBytes && unsynced.has(Math.floor(at / CHUNK_BYTES))) {
        const next = (Math.floor(at / CHUNK_BYTES) + 1) * CHUNK_BYTES;
        at = next >= inner.sizeBytes ? inner.sizeBytes : inner.nextData(next);
      }
      return at;
    },
  };
};

test(
  'H43: marks that come in the middle of a pass are flushed before they are taken',
  limited(20_000),
  async () => {
    const pair = new Pair(large, 11, { primaryDevice: forgetful });
    await started(pair);
    const { disk, parts } = pair.primaryNode;
    const bytes = Buffer.alloc(16 * CHUNK_BYTES, 7);
    pair.during = async (call) => {
      if (call !== 'digests') return;
      pair.during = null;
      await disk.write(16 * CHUNK_BYTES, bytes);
      assert.equal(await parts.dirty.checkpoint(), 'done');
    };
    await pair.meet();
    assert.equal(pair.during, null, 'it was asked for digests');
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the first point');
  },
);

test(
  'H43: a guest writes what a pass has just read, and a checkpoint comes',
  limited(20_000),
  async () => {
    let read: ((offset: number) => Promise<void>) | null = null;
    const primaryDevice: NonNullable<Knobs['primaryDevice']> = (inner) =>
      new Proxy(inner, {
        get(real, name) {
          const value: unknown = Reflect.get(real, name, real);
          if (typeof value !== 'function') return value;
          if (name !== 'readAside') return value.bind(real);
          return async (offset: number, into: Uint8Array) => {
            await real.readAside(offset, into);
            await read?.(offset);
          };
        },
      });
    const pair = new Pair(large, 12, { primaryDevice });
    await started(pair);
    const { disk, parts } = pair.primaryNode;
    await disk.write(32 * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 1));
    let met = 0;
    read = async (offset) => {
      met += 1;
      await disk.write(offset, Buffer.alloc(4096, 100 + met));
      assert.equal(await parts.dirty.checkpoint(), 'done');
    };
    await pair.meet();
    read = null;
    assert.ok(met > 0, 'a pass has read something');
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the first point');
  },
);
