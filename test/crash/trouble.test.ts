// Answers that get lost and operations that fail at the replica at the worst moment, one scenario
// each: after all of them both ends agree again without help, and neither has made a point twice
// (D4, H7, H23). What fails at the primary: trouble-here.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { codeOf } from '../../src/base/errors.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { contact } from '../../src/round/contact.js';
import { same, senderTableTrue } from './checks.js';
import { another, coded, ready, shape, started } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, STATE } from './nodes.js';
import { Pair } from './pair.js';

const LIMIT = limited(20_000);

/** Fails the test instead of hanging it: everything in memory has ended after some turns. */
async function ended<T>(work: Promise<T>, what: string): Promise<T> {
  let open = true;
  const settled = work.finally(() => {
    open = false;
  });
  settled.catch(() => undefined);
  for (let turns = 0; open && turns < 50; turns += 1) await turn();
  assert.ok(!open, `${what} never ends`);
  return settled;
}

async function roundWithLostAnswer(pair: Pair): Promise<void> {
  pair.target.losesAnswerTo = 'commit';
  await assert.rejects(pair.round(), coded('TARGET_LOST'));
}

test(
  'an answer lost: the next contact learns of the commit, no bit is lost (H23)',
  LIMIT,
  async () => {
    const pair = await ready(1);
    await pair.guest.some(pair.primaryNode.disk, 4);
    await roundWithLostAnswer(pair);
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
    const { targets } = pair.primaryNode.resourceFile.state;
    assert.equal(targets['b']?.proposed, null);
    assert.deepEqual(targets['b']?.point, pair.target.state.point);
    await pair.guest.putBack(pair.primaryNode.disk, pair.cuts[0]?.image ?? new Uint8Array(0), 8);
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'H7: A-B-A after a lost answer');
    assert.equal(pair.replicaNode.replica.record.chain.length, 3);
  },
);

test(
  'a new session before the first round is begun: its answer can be lost (H23)',
  LIMIT,
  async () => {
    const pair = new Pair(shape, 9);
    await started(pair);
    await pair.guest.some(pair.primaryNode.disk, 3);
    await pair.meet();
    pair.during = async (call) => {
      if (call !== 'begin') return;
      pair.during = null;
      // The round is reserved, and the session that carried the passes has been replaced.
      assert.equal(await contact(pair.primaryNode.parts, pair.target, true), 'fill');
    };
    await roundWithLostAnswer(pair);
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round after');
  },
);

test(
  'contact while the commit of the old session is still under way (H23, C3)',
  LIMIT,
  async () => {
    for (let turns = 0; turns < 40; turns += 1) {
      const pair = await ready(2);
      await pair.guest.some(pair.primaryNode.disk, 2);
      pair.during = async (call) => {
        if (call !== 'commit') return;
        void (async () => {
          for (let left = turns; left > 0; left -= 1) await null;
          pair.link?.cut();
        })();
      };
      await pair.round().catch(coded('TARGET_LOST'));
      pair.during = null;
      pair.connect();
      assert.equal(await pair.contact(), 'ready', `cut after ${turns} turns`);
      await pair.wholeRound();
      same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `cut after ${turns} turns`);
    }
  },
);

test(
  'the first answer lost, the daemon killed, older content put back (H7, H43)',
  LIMIT,
  async () => {
    const pair = new Pair(shape, 3);
    await started(pair);
    const a = Buffer.alloc(CHUNK_BYTES, 65);
    await pair.primaryNode.disk.write(CHUNK_BYTES, a);
    // A first try of the fill leaves digests of A in the table's file.
    pair.during = async (call) => {
      if (call === 'commit') pair.link?.cut();
    };
    await pair.meet();
    await assert.rejects(pair.round(), coded('TARGET_LOST'));
    pair.during = null;
    await pair.primaryNode.primary.closeClean();
    await pair.startPrimary();
    await pair.primaryNode.disk.write(CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 66));
    await pair.primaryNode.primary.dirty.checkpoint();
    await pair.primaryNode.primary.dirty.checkpoint();
    pair.connect();
    await pair.meet();
    await roundWithLostAnswer(pair);
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
    await pair.primaryNode.primary.dirty.checkpoint();
    const next = pair.fork('sender', 'none', 4, 'live');
    await next.startPrimary();
    assert.equal(next.primaryNode.primary.belief, 'extents');
    next.connect();
    assert.equal(await next.contact(), 'ready');
    await next.primaryNode.disk.write(0, Buffer.alloc(512, 1));
    await next.wholeRound();
    senderTableTrue(next, next.primaryNode);
    await next.primaryNode.disk.write(CHUNK_BYTES, a);
    await next.wholeRound();
    same(next.replicaNode.bytes(), next.primaryNode.bytes(), 'H7: the stale entry was believed');
  },
);

test('frames that cannot be made durable end the round, they do not hang it', LIMIT, async () => {
  for (const seed of [5, 6]) {
    const pair = await ready(seed);
    await pair.guest.some(pair.primaryNode.disk, 3);
    pair.during = async (now) => {
      if (now !== 'put') return;
      const [stage] = (await pair.receiverWorld.list(STATE)).filter((name) => /^stage-/.test(name));
      assert.ok(stage !== undefined);
      pair.receiverWorld.failNext({ operation: 'sync', path: `${STATE}/${stage}` }, 'EIO');
    };
    await assert.rejects(ended(pair.round(), 'the round'), coded('FILE_FAILED'));
    pair.during = null;
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the next round');
  }
});

for (const operation of ['rename', 'syncDirectory', 'sync'] as const) {
  for (const restart of ['never', 'before contact', 'after contact'] as const) {
    test(`a commit whose ${operation} fails, restart ${restart} (step 4, H23)`, LIMIT, async () => {
      const pair = await ready(6);
      const again = async (start: boolean): Promise<void> => {
        pair.link?.cut();
        await turn();
        if (start) await pair.startReplica();
        pair.connect();
      };
      await pair.guest.some(pair.primaryNode.disk, 3);
      pair.during = async (call) => {
        if (call === 'commit') pair.receiverWorld.failNext({ operation }, 'EIO');
      };
      await assert.rejects(pair.round());
      pair.during = null;
      await again(restart === 'before contact');
      // While the process lives it may refuse to go on; it may not say what is not so.
      const found = await pair.contact().catch((error: unknown) => error);
      if (found instanceof Error) assert.notEqual(codeOf(found), 'TARGET_DIVERGED');
      await again(restart !== 'never');
      if (restart === 'never') await pair.contact().catch(() => again(true));
      assert.equal(await pair.contact(), 'ready');
      await pair.guest.some(pair.primaryNode.disk, 3);
      await pair.wholeRound().catch(async () => {
        assert.equal(restart, 'never', 'a start mends it');
        await again(true);
        assert.equal(await pair.contact(), 'ready');
        await pair.wholeRound();
      });
      same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round after');
      const { point } = pair.replicaNode.replica.record;
      await again(true);
      assert.deepEqual(pair.replicaNode.replica.record.point, point, 'and it stays');
    });
  }
}

test('a first copy whose fdatasync fails is not taken for durable (H18, H29)', LIMIT, async () => {
  const pair = new Pair(shape, 7);
  await started(pair);
  await pair.meet();
  pair.receiverWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
  await assert.rejects(pair.round());
  pair.link?.cut();
  await turn();
  await pair.startReplica();
  pair.connect();
  assert.equal(await pair.meet(), 'fill');
  await pair.wholeRound();
  pair.receiverWorld.evict(DISK);
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'what is on the medium');
});

test(
  'a table that was torn: nothing is believed lost, nothing is suspect (H7, H27)',
  LIMIT,
  async () => {
    const pair = await ready(8);
    await another(pair);
    pair.receiverWorld.flip(`${STATE}/disk.digests`, 4096 + 40);
    pair.link?.cut();
    await turn();
    await pair.startReplica();
    assert.equal(pair.replicaNode.replica.record.suspect, null, 'the disk is what it was');
    pair.connect();
    await pair.contact();
    await another(pair);
  },
);
