// A replica whose `retain` leaves gaps: points in the middle of the chain go by merges (H32). Every
// point that is kept reads as its cut, whatever crashes, fails or is read at the same time; the
// files are those of the chain and no others; what is damaged is not merged.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FilesError } from '../../src/base/files.js';
import { deferred } from '../../src/base/sync.js';
import { CHUNK_BYTES, SECTOR_BYTES } from '../../src/base/units.js';
import { setName } from '../../src/receive/pins.js';
import { keptOf } from '../../src/receive/pruning.js';
import { keptPoints } from '../../src/retention/keep.js';
import { historyTrue } from './checks.js';
import { another, coded, ready, shape, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import { type Shape, STATE } from './nodes.js';
import { newWorld, Pair } from './pair.js';
import { allTrue, entryOf, imageOf } from './past-images.js';
import { grow } from './story.js';
import { walk } from './walk.js';
import { watchedFiles } from './watched-files.js';

const LIMIT = limited(120_000);
const SEED = Number(process.env['HAST_SEED'] ?? 20_261_122);
const MINUTE_MS = 60_000;

const RULE = { last: 2, hourly: 3, daily: 0, weekly: 0, monthly: 0 };
const gaps: Shape = { ...shape, keeps: { rule: RULE } };
const UTC = { rule: RULE, timezone: 'UTC' };

/** Undo files are those that the chain names, and no others. */
async function chainAlone(pair: Pair): Promise<void> {
  const named = pair.replicaNode.replica.record.chain.flatMap(({ undo }) => undo ?? []);
  assert.deepEqual(await stateFiles(pair, 'undo-'), named.sort());
}

/** A round, so long after the one before. */
async function later(pair: Pair, minutes: number): Promise<void> {
  await pair.clock.sleep(minutes * MINUTE_MS);
  await another(pair);
}

const numbers = (pair: Pair): number[] =>
  pair.replicaNode.replica.record.chain.map(({ point }) => point.number);

test('points go from the middle; each that is kept reads as its cut', LIMIT, async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  let merged = 0;
  for (let run = 0; run < 4; run += 1) {
    const pair = await ready(SEED + run, {}, gaps);
    for (let round = 0; round < 25; round += 1) {
      await later(pair, 1 + pair.random.below(35));
      const { replica } = pair.replicaNode;
      await replica.pruning.idle();
      const made = pair.cuts.map(({ to }) => ({ ...to, pinned: false }));
      const kept = [...keptPoints(made, RULE, 'UTC').keys()].map(({ number }) => number);
      assert.deepEqual(
        numbers(pair),
        kept.sort((one, other) => one - other),
      );
      await chainAlone(pair);
      await allTrue(pair);
      await historyTrue(pair, pair.replicaNode);
      merged += replica.record.chain.filter(({ undo }) => /^undo-\w+-\w+$/.test(undo ?? '')).length;
    }
  }
  assert.ok(merged > 100, `${merged} merged undos were read`);
});

/** Rounds with merges between them, beside them, and a disk that grows. */
async function tale(pair: Pair): Promise<void> {
  await pair.startReplica();
  await pair.startPrimary();
  pair.connect();
  await pair.meet();
  await pair.wholeRound();
  for (const minutes of [20, 20, 20, 20]) await laterBusy(pair, minutes);
  pair.link?.cut();
  await grow(pair, pair.primaryNode.bytes().length + CHUNK_BYTES + SECTOR_BYTES);
  await pair.startPrimary();
  pair.connect();
  await pair.contact();
  for (const minutes of [20, 20, 20, 50]) await laterBusy(pair, minutes);
  await pair.replicaNode.replica.pruning.idle();
}

/** The apply, and what it merges, is not waited for. */
async function laterBusy(pair: Pair, minutes: number): Promise<void> {
  await pair.clock.sleep(minutes * MINUTE_MS);
  await pair.guest.some(pair.primaryNode.disk, 3);
  await pair.round();
}

test('a crash at every step of a replica that merges', LIMIT, async (t) => {
  const options = { shape: gaps, seed: SEED, seeded: 1, others: 1, tale, stride: 7, from: 0.4 };
  const { steps, crashes, wrong } = await walk({ ...options, first: SEED % 7 }, 'receiver');
  t.diagnostic(`HAST_SEED=${SEED}: ${steps} steps, ${crashes} crashes`);
  assert.ok(crashes > 80);
  assert.deepEqual(wrong, []);
});

test('all points read beside merges, begun at every step', LIMIT, async () => {
  let points = 0;
  for (const pause of [0, 30]) {
    for (let at = 0; ; at += 61) {
      const pair = new Pair(gaps, SEED + 1);
      let turns = 0;
      let reading: Promise<number> | null = null;
      const wait = async (): Promise<void> => {
        for (let count = 0; count < pause; count += 1) await Promise.resolve();
      };
      pair.receiverWorld = newWorld(null, async () => {
        if (reading === null && turns >= at && pair.replica?.replica.isOpen === true) {
          reading = allTrue(pair, wait);
          // Judged at the end.
          reading.catch(() => undefined);
        } else turns += 1;
      });
      await tale(pair);
      const { replica } = pair.replicaNode;
      await replica.idle();
      await replica.pruning.idle();
      points += (await reading) ?? 0;
      await allTrue(pair);
      await chainAlone(pair);
      if (reading === null) break;
    }
  }
  assert.ok(points > 60, `${points} points were read`);
});

test('a reader of a point that is merged away goes on; its files go with it', LIMIT, async () => {
  const pair = await ready(51, {}, gaps);
  const { replica } = pair.replicaNode;
  for (const minutes of [61, 1]) await later(pair, minutes);
  const readers = [1, 2].map((number) => replica.readers.open(entryOf(pair, number)));
  for (let round = 0; round < 4; round += 1) await later(pair, 10);
  await replica.pruning.idle();
  assert.ok(!numbers(pair).includes(2), 'it is merged away');
  for (const reader of readers) {
    const { image } = pair.cutOf(reader.entry.point);
    assert.ok(Buffer.from(image).equals(await imageOf(reader)), 'it reads as its cut');
    await reader.close();
  }
  await chainAlone(pair);
});

test('a damaged undo is not merged: the points stay, rounds go on', LIMIT, async () => {
  const pair = await ready(52, {}, gaps);
  const { replica } = pair.replicaNode;
  await later(pair, 61);
  const { undo } = entryOf(pair, 1);
  assert.ok(typeof undo === 'string');
  const path = `${STATE}/${undo}`;
  pair.receiverWorld.flip(path, (pair.receiverWorld.sizeNow(path) ?? 0) >> 1);
  for (let round = 0; round < 4; round += 1) await later(pair, 10);
  await replica.pruning.idle();
  assert.deepEqual(numbers(pair), [1, 2, 3, 4, 5, 6]);
  assert.ok((await stateFiles(pair, undo)).includes(undo), 'it is kept');
  assert.deepEqual(await stateFiles(pair, 'undo-').then((names) => names.filter(isPart)), []);
});

const isPart = (name: string): boolean => name.endsWith('.part');

test('no room for a merge: the points stay until there is', LIMIT, async () => {
  let fails: string | null = null;
  const replicaFiles = watchedFiles(async (call, path) => {
    if (call !== fails || !/undo-\w+-\w+\.part$/.test(path)) return;
    fails = null;
    throw new FilesError({ code: 'FILE_FAILED', operation: call, path, errno: 'ENOSPC' });
  });
  const pair = await ready(53, { replicaFiles }, gaps);
  const { replica } = pair.replicaNode;
  for (const operation of ['open', 'reserve', 'write', 'sync', 'truncate', 'rename']) {
    for (const minutes of [61, 1, 1]) await later(pair, minutes);
    await replica.pruning.idle();
    const before = numbers(pair);
    fails = operation;
    await later(pair, 1);
    await replica.pruning.idle();
    assert.equal(fails, null, `${operation} has failed`);
    assert.equal(numbers(pair).length, before.length + 1, operation);
    await chainAlone(pair);
    await later(pair, 1);
    await replica.pruning.idle();
    const { chain } = replica.record;
    assert.equal(keptOf(chain, UTC).size, chain.length, 'all that stay are kept');
    await allTrue(pair);
  }
});

test('a point that is pinned while it is merged away stays', LIMIT, async () => {
  let merging: (() => Promise<void>) | null = null;
  const replicaFiles = watchedFiles(async (call, path) => {
    if (call === 'rename' && /undo-\w+-\w+\.part$/.test(path)) await merging?.();
  });
  const pair = await ready(54, { replicaFiles }, gaps);
  const { replica, resourceFile } = pair.replicaNode;
  for (const minutes of [61, 5, 5]) await later(pair, minutes);
  await replica.pruning.idle();
  const going = numbers(pair).at(-2);
  let pins = 0;
  merging = async () => {
    pins += 1;
    if (pins > 1) return;
    await resourceFile.update((state) => {
      const chain = state.replica.chain.map((entry) =>
        entry.point.number === going ? { ...entry, name: 'before-upgrade' } : entry,
      );
      return { ...state, replica: { ...state.replica, chain } };
    });
  };
  await later(pair, 5);
  await replica.pruning.idle();
  assert.ok(pins > 0, 'it was being merged away');
  for (let round = 0; round < 3; round += 1) await later(pair, 5);
  await replica.pruning.idle();
  assert.ok(numbers(pair).includes(going ?? 0));
  await allTrue(pair);
  await chainAlone(pair);
});

test(
  'names: one a point, kept by retain, gone with the next prune when taken away',
  LIMIT,
  async () => {
    const pair = await ready(55, {}, gaps);
    const { replica } = pair.replicaNode;
    for (const minutes of [61, 5]) await later(pair, minutes);
    await setName(replica, entryOf(pair, 2), 'good');
    await assert.rejects(setName(replica, entryOf(pair, 3), 'good'), coded('POINT_NAME_TAKEN'));
    await assert.rejects(setName(replica, entryOf(pair, 2), 'better'), coded('POINT_PINNED'));
    const two = entryOf(pair, 2);
    for (const minutes of [5, 5, 5]) await later(pair, minutes);
    await replica.pruning.now();
    assert.deepEqual(numbers(pair), [1, 2, 5, 6]);
    assert.deepEqual(keptOf(replica.record.chain, UTC).get(entryOf(pair, 2)), ['pinned']);

    await setName(replica, entryOf(pair, 2), null);
    await replica.pruning.now();
    assert.deepEqual(numbers(pair), [1, 5, 6]);
    await assert.rejects(setName(replica, two, 'good'), coded('POINT_GOING'));
    await allTrue(pair);
    await chainAlone(pair);
  },
);

test('a round that lacks room ends a merge, and has it', LIMIT, async () => {
  let merging: (() => Promise<void>) | null = null;
  const replicaFiles = watchedFiles(async (call, path) => {
    if (call === 'write' && /undo-\w+-\w+\.part$/.test(path)) await merging?.();
  });
  const pair = await ready(56, { replicaFiles }, gaps);
  const { replica } = pair.replicaNode;
  for (const minutes of [61, 5, 5]) await later(pair, minutes);
  const held = deferred<void>();
  merging = () => held.promise;
  await pair.clock.sleep(5 * MINUTE_MS);
  await pair.guest.some(pair.primaryNode.disk, 3);
  await pair.wholeRound();
  const before = numbers(pair);
  const gone = replica.makeRoom();
  merging = null;
  held.resolve();
  await gone;
  await replica.pruning.idle();
  assert.deepEqual(numbers(pair), before, 'nothing was merged');
  assert.deepEqual((await stateFiles(pair, 'undo-')).filter(isPart), []);
  await later(pair, 1);
  await replica.pruning.idle();
  assert.ok(numbers(pair).length < before.length + 1, 'later it is');
  await allTrue(pair);
  await chainAlone(pair);
});
