// Between the passes of a first copy and the round that makes the first point: a link lost, a
// replica restarted, without power or made anew. Where the answer is "it is filled anew", the round
// must have been refused for that reason and no other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { fillByPasses } from '../../src/round/fill.js';
import { newCounts } from '../../src/round/parts.js';
import { runRound } from '../../src/round/round.js';
import type { Target } from '../../src/target/target.js';
import { entriesTrue, same } from './checks.js';
import { cutAt, large, started } from './ladder-material.js';
import { limited } from './limit.js';
import { Pair } from './pair.js';

const LIMIT = limited(20_000);
const never = new AbortController().signal;

async function filledPair(seed: number) {
  const pair = new Pair(large, seed);
  await started(pair);
  assert.equal(await pair.contact(), 'fill');
  const target = pair.resuming(pair.target);
  const { parts } = pair.primaryNode;
  const fill = await fillByPasses(parts, target, newCounts('pass'), never);
  return { pair, target, fill };
}

/** The round that makes the first point; null: refused, because what the passes sent is gone. */
async function firstRound(pair: Pair, target: Target, fill: Uint8Array) {
  try {
    return await runRound(pair.primaryNode.parts, target, newCounts('round'), never, fill);
  } catch (error) {
    assert.match(String(error), /not under way here any more|lost its staging/);
    return null;
  }
}

test(
  'R1: link lost between the passes and the round: the replica keeps its table',
  LIMIT,
  async () => {
    const { pair, target, fill } = await filledPair(1);
    cutAt(pair, 'begin', 0);
    const { point } = (await firstRound(pair, target, fill)) ?? assert.fail('it goes on');
    pair.during = null;
    await pair.target.applied(point);
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'first point');
    entriesTrue(pair.replicaNode.replica.table, pair.replicaNode.bytes(), 'own table', 'some');
  },
);

test('R1b: and what follows from it: A-B-A is skipped, the replica keeps B', LIMIT, async () => {
  const { pair, target, fill } = await filledPair(2);
  // Chunk 9 holds data at both ends.
  cutAt(pair, 'begin', 0);
  const { point } = (await firstRound(pair, target, fill)) ?? assert.fail('it goes on');
  pair.during = null;
  await pair.target.applied(point);
  const { disk } = pair.primaryNode;
  const chunk =
    [...Array(60).keys()].find((at) => pair.replicaNode.bytes()[at * CHUNK_BYTES] !== 0) ?? 0;
  // The guest zeroes it; the sender's table is lost (power failure: a torn header).
  await disk.zero(chunk * CHUNK_BYTES, CHUNK_BYTES, true, false);
  await pair.primaryNode.parts.table.beginChange();
  const { point: next } = await pair.round();
  await pair.target.applied(next);
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'second point');
});

test('R2: the replica loses power between the passes and the round', LIMIT, async () => {
  for (const when of (process.env['WHEN'] ?? 'begin,commit').split(',')) {
    const { pair, target, fill } = await filledPair(3);
    cutAt(pair, when, 0, async () => {
      pair.receiverWorld = pair.receiverWorld.afterCrash('all', seededRandom(1));
      await pair.startReplica();
    });
    const result = await firstRound(pair, target, fill);
    pair.during = null;
    if (result === null) continue; // it is filled anew: sound
    await turn();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `first point, power lost at ${when}`);
  }
});

test(
  'R2b: the replica process restarts (no power loss) between the passes and the round',
  LIMIT,
  async () => {
    const { pair, target, fill } = await filledPair(3);
    cutAt(pair, 'begin', 0, async () => {
      pair.receiverWorld = pair.receiverWorld.afterCrash('none', seededRandom(1));
      await pair.startReplica();
    });
    const result = await firstRound(pair, target, fill);
    pair.during = null;
    if (result === null) return;
    entriesTrue(pair.replicaNode.replica.table, pair.replicaNode.bytes(), 'own table', 'some');
  },
);

test('R11: a replica that is made anew between the passes and the round', LIMIT, async () => {
  const { pair, target, fill } = await filledPair(3);
  cutAt(pair, 'begin', 0, async () => {
    const { receiverWorld } = new Pair(large, 99);
    pair.receiverWorld = receiverWorld;
    await pair.startReplica();
  });
  const result = await firstRound(pair, target, fill);
  pair.during = null;
  if (result === null) return;
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'first point');
});

test(
  'R12: a first copy of an equal disk, the replica restarted in the middle of a pass',
  LIMIT,
  async () => {
    const { pair } = await filledPair(4);
    // A new start of the first copy: everything is equal, no frame is sent.
    pair.connect();
    assert.equal(await pair.contact(), 'fill');
    const target = pair.resuming(pair.target);
    const { parts } = pair.primaryNode;
    const fill = await fillByPasses(parts, target, newCounts('pass'), never);
    // Nobody noticed anything; now it restarts, with no frame acknowledged.
    pair.link?.cut();
    await turn();
    await pair.replicaNode.replica.close();
    await pair.startReplica();
    const result = await firstRound(pair, target, fill);
    pair.during = null;
    if (result === null) return;
    entriesTrue(pair.replicaNode.replica.table, pair.replicaNode.bytes(), 'own table', 'some');
  },
);
