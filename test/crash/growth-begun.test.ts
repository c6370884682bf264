// A round that makes the replica's disk larger and is never committed (H14): the disk is not
// suspect for that (H28), wherever the replica dies in between; what really changed is still seen.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import type { DiskPrint, Fingerprints } from '../../src/disk/fingerprints.js';
import { PAGE_BYTES } from '../world/sparse.js';
import { replicaAtPoint } from './checks.js';
import { another, beginOf, large, ready, refusedAs } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, type Knobs, STATE } from './nodes.js';
import type { Pair } from './pair.js';
import { grow } from './story.js';

const LIMIT = limited(60_000);
const GROWN_BYTES = large.sizeBytes + 2 * CHUNK_BYTES;

/** The pair's disks as real fingerprints see them: what a growth that was published leaves is the
 * old content, and more. */
const growing: Knobs = {
  prints: (real: Fingerprints): Fingerprints => ({
    ...real,
    differs: (before, now, look) => {
      const { growsTo, size } = before;
      if (growsTo === undefined || now['size'] === size || now['size'] !== growsTo) {
        return real.differs(before, now, look);
      }
      return pagesOf(before, size) === pagesOf(now, size) ? null : 'content';
    },
  }),
};

/** What the world's print says of the content of the first `size` bytes: after the size of the file
 * an index and a digest for each page that is there. */
const pagesOf = ({ content }: DiskPrint, size: DiskPrint[string] | undefined): string =>
  String(content)
    .split(' ')
    .slice(1)
    .filter((page) => Number.parseInt(page, 10) * PAGE_BYTES < Number(size))
    .join(' ');

/** At point 1; the primary has grown and is connected, no round has begun. */
async function grownPrimary(seed: number): Promise<Pair> {
  const pair = await ready(seed, growing, large);
  pair.link?.cut();
  await grow(pair, GROWN_BYTES);
  await pair.startPrimary();
  pair.connect();
  await pair.contact();
  return pair;
}

async function reopen(pair: Pair): Promise<void> {
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  await pair.startReplica();
  await pair.replicaNode.replica.idle();
}

test('begun, not committed, opened again (a promotion): nothing is suspect', LIMIT, async () => {
  const pair = await grownPrimary(1);
  await pair.target.begin(beginOf(pair));
  assert.equal(pair.receiverWorld.sizeNow(DISK), GROWN_BYTES);
  const { fingerprint } = pair.replicaNode.replica.record;
  assert.deepEqual([fingerprint?.['size'], fingerprint?.['growsTo']], [GROWN_BYTES, undefined]);
  await reopen(pair);
  const { record, comparing } = pair.replicaNode.replica;
  assert.deepEqual([record.suspect, comparing], [null, null]);
  assert.deepEqual(record.fingerprint, fingerprint, 'nothing new was seen');
  replicaAtPoint(pair, pair.replicaNode);
  pair.connect();
  assert.equal(await pair.contact(), 'ready');
  await another(pair);
});

test('a replica that dies anywhere in the begin of such a round', LIMIT, async () => {
  for (const loss of ['all', 'none', 'seeded'] as const) {
    let reached = true;
    for (let at = 0; reached; at += 1) {
      const pair = await grownPrimary(2);
      pair.receiverWorld.crashAt(pair.receiverWorld.steps + at);
      const begun = pair.target.begin(beginOf(pair)).catch(() => undefined);
      await Promise.race([begun, pair.receiverWorld.stopped]);
      await turn();
      reached = pair.receiverWorld.stoppedAt !== null;
      const where = `${loss}, ${pair.receiverWorld.stoppedAt}`;
      pair.link?.cut();
      pair.receiverWorld = pair.receiverWorld.afterCrash(loss, seededRandom(at));
      await pair.startReplica();
      const { record } = pair.replicaNode.replica;
      assert.equal(record.suspect, null, where);
      assert.equal(record.fingerprint?.['growsTo'], undefined, 'what was seen is published');
      replicaAtPoint(pair, pair.replicaNode);
      if (at % 4 !== 0) continue;
      pair.connect();
      await pair.contact();
      await another(pair);
    }
  }
});

test('written behind its back before it grows: refused, compared, mended', LIMIT, async () => {
  const pair = await grownPrimary(3);
  pair.receiverWorld.flip(DISK, 5 * CHUNK_BYTES + 100);
  await assert.rejects(pair.target.begin(beginOf(pair)), refusedAs('suspect', /content/));
  assert.equal(pair.receiverWorld.sizeNow(DISK), large.sizeBytes, 'and it has not grown');
  const { replica } = pair.replicaNode;
  await replica.compared();
  assert.match(replica.record.suspect ?? '', /1 chunks differ/);
  pair.drifted = true;
  await pair.contact();
  await pair.wholeRound();
  replicaAtPoint(pair, pair.replicaNode);
  assert.equal(replica.record.suspect, null);
});

test('written after the growth, while nobody has it: suspect', LIMIT, async () => {
  const pair = await grownPrimary(4);
  await pair.target.begin(beginOf(pair));
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  pair.receiverWorld.flip(DISK, 5 * CHUNK_BYTES + 100);
  await pair.startReplica();
  assert.equal(pair.replicaNode.replica.record.suspect, 'content');
  await pair.replicaNode.replica.compared();
});

test('no room to publish what was seen: it opens all the same', LIMIT, async () => {
  const pair = await grownPrimary(5);
  const { resourceFile } = pair.replicaNode;
  await resourceFile.update((state) => ({
    ...state,
    replica: {
      ...state.replica,
      fingerprint: { ...state.replica.fingerprint, growsTo: GROWN_BYTES },
    },
  }));
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  const path = `${STATE}/resource.json.new`;
  pair.receiverWorld.failNext({ operation: 'create', path }, 'ENOSPC');
  await pair.startReplica();
  assert.equal(pair.replicaNode.replica.record.suspect, null);
  assert.equal(pair.replicaNode.replica.record.fingerprint?.['growsTo'], GROWN_BYTES);
});
