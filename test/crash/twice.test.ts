// A replica whose process dies in a commit or an apply, and whose machine loses its power while the
// next process finishes that: what the first had renamed, and not made durable, must stand before
// anything is built on it (H26). Every step of the first, every step of the second.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { historyTrue, replicaAtPoint } from './checks.js';
import { another, ready, shape } from './ladder-material.js';
import { limited } from './limit.js';
import type { Pair } from './pair.js';

const SEED = 61;

/** A round whose target crashes `at` steps after it was asked to commit; null: there were fewer. */
async function killed(at: number): Promise<Pair | null> {
  const pair = await ready(SEED, {}, shape);
  await another(pair);
  await pair.guest.some(pair.primaryNode.disk, 4);
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
  if (pair.receiverWorld.stoppedAt === null) return null;
  return dead(pair, at);
}

/** Its process is gone: what it had written and not synced is in the page cache still. */
function dead(pair: Pair, seed: number): Pair {
  const next = pair.fork('receiver', 'none', seed, 'live');
  next.receiverWorld = pair.receiverWorld.afterKill();
  return next;
}

test('killed, and the power fails while that is finished', limited(60_000), async (t) => {
  let [kills, crashes] = [0, 0];
  for (let at = 0; ; at += 1) {
    const first = await killed(at);
    if (first === null) break;
    kills += 1;
    for (let then = 0; ; then += 1) {
      const pair: Pair = dead(first, then);
      pair.receiverWorld.crashAt(pair.receiverWorld.steps + then);
      const started = pair.startReplica().then(
        () => pair.replicaNode.replica.idle(),
        () => undefined,
      );
      await Promise.race([started, pair.receiverWorld.stopped]);
      await turn();
      const { stoppedAt }: Pair['receiverWorld'] = pair.receiverWorld;
      if (stoppedAt === null) break;
      crashes += 1;
      const last: Pair = pair.fork('receiver', 'all', then, 'live');
      await last.startReplica();
      await last.replicaNode.replica.idle();
      const where: string = `killed after ${at} steps, then ${stoppedAt}`;
      assert.equal(last.replicaNode.replica.applyError, null, where);
      replicaAtPoint(last, last.replicaNode);
      await historyTrue(last, last.replicaNode);
    }
  }
  t.diagnostic(`${kills} kills, ${crashes} power failures after them`);
  assert.ok(kills > 10 && crashes > 100);
});
