// Room for the undo of a committed round (H29): it is kept from BEGIN to the apply, whoever takes
// what is free meanwhile; it is given back with a round that ends otherwise; no crash leaves it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Files } from '../../src/base/files.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { undoBytesMax } from '../../src/history/undo-room.js';
import type { Begin } from '../../src/target/target.js';
import { CrashWorld } from '../world/memory-files.js';
import { historyTrue, replicaAtPoint, same } from './checks.js';
import { beginOf, coded, large, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import { type Knobs, STATE } from './nodes.js';
import { Pair } from './pair.js';

const LIMIT = limited(60_000);
const CAPACITY_BYTES = 64 * MIB;
/** Left for state files and the table. */
const LEFT_BYTES = 256 * 1024;
const OTHER = '/other';

/** Runs `then` when a file has just got its name committed-…, before anybody is told. */
const atCommit =
  (then: () => Promise<void>) =>
  (files: Files): Files =>
    new Proxy(files, {
      get(real, name) {
        const value: unknown = Reflect.get(real, name, real);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          const result: unknown = await value.apply(real, args);
          if (name === 'rename' && String(args[1]).includes('/committed-')) await then();
          return result;
        };
      },
    });

/** At point 2 with nothing but data on the disks; 1 MiB of it is dirty. */
async function dirtyPair(seed: number, then: () => Promise<void> = async () => {}): Promise<Pair> {
  let armed = false;
  const pair: Pair = new Pair(large, seed, {
    replicaFiles: atCommit(async () => {
      if (armed) await then();
    }),
  });
  pair.receiverWorld = new CrashWorld({ capacityBytes: CAPACITY_BYTES });
  pair.receiverWorld.plant('/state/.made', 0);
  await pair.startReplica();
  await pair.startPrimary();
  pair.connect();
  await pair.meet();
  await pair.wholeRound();
  const { disk } = pair.primaryNode;
  await disk.write(0, Buffer.from(seededRandom(seed).bytes(2 * MIB)));
  await pair.wholeRound();
  await disk.write(0, Buffer.from(seededRandom(seed + 1).bytes(MIB)));
  armed = true;
  return pair;
}

/** Another resource reserves all that is free but LEFT_BYTES. */
async function takeTheRest(world: CrashWorld): Promise<void> {
  const handle = await world.open(OTHER, 'truncate');
  await handle.reserve(CAPACITY_BYTES - world.usedBytes() - LEFT_BYTES);
  await handle.close();
}

/** What is left of a room, under either name. */
const parts = async (pair: Pair): Promise<string[]> =>
  (await pair.receiverWorld.list(STATE)).filter((name) => name.endsWith('.part'));

test('another resource takes what is free as soon as it is committed', LIMIT, async () => {
  const pair = await dirtyPair(1, () => takeTheRest(pair.receiverWorld));
  const { point } = await pair.round();
  await pair.target.applied(point);
  same(pair.replicaNode.bytes(), pair.cutOf(point).image, 'applied');
  assert.deepEqual(await parts(pair), []);
  await historyTrue(pair, pair.replicaNode);
});

test('what was in its file before, and what it did not need, is gone', LIMIT, async () => {
  const pair = await dirtyPair(7);
  const before = pair.receiverWorld.usedBytes();
  pair.during = async (call) => {
    if (call !== 'commit') return;
    const [room] = await parts(pair);
    pair.receiverWorld.plant(`${STATE}/${room}`, new Uint8Array(8 * MIB).fill(0xa5));
  };
  await pair.wholeRound();
  await historyTrue(pair, pair.replicaNode);
  const kept = pair.receiverWorld.usedBytes() - before;
  assert.ok(kept < 2 * MIB, `${kept} bytes for an undo of one MiB`);
});

test('the same, and the replica dies before, in and after its apply', LIMIT, async () => {
  let reached = true;
  for (let at = 0; reached; at += 1) {
    for (const loss of ['all', 'none', 'seeded'] as const) {
      const pair = await dirtyPair(2, () => takeTheRest(pair.receiverWorld));
      pair.during = async (call) => {
        if (call === 'commit') pair.receiverWorld.crashAt(pair.receiverWorld.steps + at);
      };
      const round = pair.round().then(
        () => pair.replicaNode.replica.idle(),
        () => undefined,
      );
      await Promise.race([round, pair.receiverWorld.stopped]);
      await turn();
      pair.during = null;
      const { stoppedAt } = pair.receiverWorld;
      reached = stoppedAt !== null;
      const next = pair.fork('receiver', loss, at, 'live');
      await next.startReplica();
      await next.replicaNode.replica.idle();
      const where = `${loss}, ${stoppedAt}`;
      assert.equal(next.replicaNode.replica.applyError, null, where);
      replicaAtPoint(next, next.replicaNode);
      assert.deepEqual(await parts(next), [], where);
      await historyTrue(next, next.replicaNode);
    }
  }
});

test('an apply that fails keeps its room over starts, until it succeeds', LIMIT, async () => {
  const pair = await dirtyPair(3, () => takeTheRest(pair.receiverWorld));
  const { point: from } = pair.replicaNode.replica.record;
  assert.ok(from !== null);
  const path = `${STATE}/undo-${hex(from.id)}.part`;
  const fail = (): void => pair.receiverWorld.failNext({ operation: 'write', path }, 'EIO');
  fail();
  const { point } = await pair.round();
  await assert.rejects(pair.target.applied(point), coded('APPLY_FAILED'));
  pair.link?.cut();
  await turn();
  for (const tries of [1, 2]) {
    await pair.replicaNode.replica.close();
    fail();
    await pair.startReplica();
    assert.match(pair.replicaNode.replica.applyError?.message ?? '', /EIO/, `start ${tries}`);
    assert.equal((await parts(pair)).length, 1);
    const free = CAPACITY_BYTES - pair.receiverWorld.usedBytes();
    assert.ok(free <= LEFT_BYTES, `${free} bytes are free, somebody else may take them`);
  }
  await pair.replicaNode.replica.close();
  await pair.startReplica();
  same(pair.replicaNode.bytes(), pair.cutOf(point).image, 'applied');
  assert.deepEqual(await parts(pair), []);
});

test('more came than the round asked for, and there is no room: not committed', LIMIT, async () => {
  const pair = await dirtyPair(6);
  const modest = { ...pair.knobs, link: withLittleSpace };
  const next = new Pair(large, 6, modest, pair);
  Object.assign(next, { primary: pair.primary, replica: pair.replica });
  pair.link?.cut();
  await turn();
  next.connect();
  await next.contact();
  next.during = async (call) => {
    if (call === 'commit') await takeTheRest(pair.receiverWorld);
  };
  await assert.rejects(next.round(), coded('ROUND_REFUSED'));
  next.during = null;
  assert.equal(pair.replicaNode.replica.applyError, null);
  assert.deepEqual(await parts(pair), []);
  await pair.receiverWorld.remove(OTHER);
  const { point } = await next.wholeRound();
  same(next.replicaNode.bytes(), next.cutOf(point).image, 'with room again');
});

/** A sender that asks for less than it needs. */
const withLittleSpace: NonNullable<Knobs['link']> = (link) =>
  new Proxy(link, {
    get(real, name) {
      const value: unknown = Reflect.get(real, name, real);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const [begin] = args;
        const given = name === 'begin' ? [{ ...(begin as Begin), spaceBytes: 4096 }] : args;
        return value.apply(real, given) as unknown;
      };
    },
  });

test('a round that ends without a commit gives all of its space back', LIMIT, async () => {
  for (const end of ['abandoned', 'replaced', 'role left'] as const) {
    const pair = await dirtyPair(4);
    const before = pair.receiverWorld.usedBytes();
    const begin = beginOf(pair, { spaceBytes: 8 * MIB });
    await pair.target.begin(begin);
    assert.ok(pair.receiverWorld.usedBytes() >= before + 8 * MIB, 'reserved');
    assert.equal((await parts(pair)).length, 1);
    if (end === 'abandoned') await pair.target.abandon(begin.round);
    if (end === 'replaced') await pair.target.begin(beginOf(pair, { spaceBytes: 0 }));
    if (end === 'role left') {
      pair.link?.cut();
      await turn();
      await pair.replicaNode.replica.close();
    }
    // What is left are headers of staged files, a page each.
    assert.ok(pair.receiverWorld.usedBytes() <= before + 2 * CHUNK_BYTES, end);
    assert.equal((await parts(pair)).length, end === 'replaced' ? 1 : 0, end);
  }
});

test('half for what is sent, half for its undo; neither alone is begun', LIMIT, async () => {
  const pair = await dirtyPair(5);
  await takeTheRest(pair.receiverWorld);
  const before = pair.receiverWorld.usedBytes();
  for (const spaceBytes of [LEFT_BYTES + 4096, 2 * LEFT_BYTES + 4096]) {
    await assert.rejects(pair.target.begin(beginOf(pair, { spaceBytes })), coded('TARGET_REFUSED'));
    assert.equal(pair.receiverWorld.usedBytes(), before);
    assert.deepEqual(await stateFiles(pair, 'stage-'), []);
    assert.deepEqual(await parts(pair), []);
  }
});

test('what an undo may need: blocks, records, and frames that end before a whole chunk', () => {
  assert.equal(undoBytesMax(0, 0, 0), 352);
  assert.equal(undoBytesMax(1, 1, 16), 352 + 65_536 + 26 + 28 + 2 * 48);
  assert.equal(undoBytesMax(2, 16, 256), 352 + MIB + 16 * (26 + 28) + 4 * 48);
});
