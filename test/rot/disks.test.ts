// Bit rot in the disks themselves, under a fingerprint that is blind to it, as the real one is: a
// medium that rots changes no time and no size. The replica's is found by `verify --deep`, the
// primary's by the background pass; each names the place and has its way out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCKS_PER_CHUNK, CHUNK_BYTES, chunkCount, SECTOR_BYTES } from '../../src/base/units.js';
import { scrubStep } from '../../src/care/scrub.js';
import { verifyTarget } from '../../src/care/verify.js';
import type { Fingerprints } from '../../src/disk/fingerprints.js';
import { sameId } from '../../src/lineage/lineage.js';
import { recordOf } from '../../src/round/contact.js';
import { historyTrue, same } from '../crash/checks.js';
import { another, ready, shape } from '../crash/ladder-material.js';
import { limited } from '../crash/limit.js';
import { DISK, STATE } from '../crash/nodes.js';
import type { Pair } from '../crash/pair.js';
import type { CrashWorld } from '../world/memory-files.js';
import { Heard } from './heard.js';
import { DAMAGES, seedFromEnv } from './trial.js';

const LIMIT = limited(600_000);
const { signal } = new AbortController();

const blind = (prints: Fingerprints): Fingerprints => ({
  ...prints,
  differs: (before, now) => (before['size'] === now['size'] ? null : 'size'),
});

/** Both ends at rest, at point 3. */
async function atRest(seed: number, heard: Heard): Promise<Pair> {
  const pair = await ready(seed, { log: heard.log, prints: blind }, shape);
  await another(pair);
  await another(pair);
  await pair.primaryNode.primary.closeClean();
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  return pair;
}

/** One to four sectors or bits of a disk, in one chunk; returns the chunk. */
function rot(world: CrashWorld, random: Random): number {
  const bytes = world.peek(DISK)?.slice() ?? new Uint8Array(0);
  const at = random.below(bytes.length);
  const chunk = Math.floor(at / CHUNK_BYTES);
  const sector = at - (at % SECTOR_BYTES);
  const before = bytes.slice();
  if (random.below(3) === 0) bytes.fill(0, sector, sector + SECTOR_BYTES);
  if (Buffer.compare(before, bytes) === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  world.plant(DISK, bytes);
  return chunk;
}

async function start(pair: Pair): Promise<void> {
  await pair.startReplica();
  await pair.startPrimary();
  pair.connect();
}

function verify(pair: Pair, deep: boolean) {
  const { parts, primary } = pair.primaryNode;
  const { volume } = primary;
  const dirty = (first: number, last: number): boolean => volume.isDirty(0, first, last);
  const { table, compute } = parts;
  const { device } = volume;
  return verifyTarget({ target: pair.target, table, device, compute, dirty }, deep, signal);
}

/** `hastctl create --force` and the role again: what differs is sent. */
async function createForce(pair: Pair): Promise<void> {
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  for (const name of await pair.receiverWorld.list(STATE)) {
    await pair.receiverWorld.remove(`${STATE}/${name}`);
  }
  await pair.startReplica();
  pair.connect();
  assert.equal(await pair.meet(), 'fill');
}

test("rot in a replica's disk: named by verify --deep, made anew", LIMIT, async (t) => {
  const seed = seedFromEnv();
  const heard = new Heard();
  const base = await atRest(seed, heard);
  const ways = { wanted: 0, forced: 0 };
  for (let damage = 0; damage < DAMAGES; damage += 1) {
    const pair = base.fork('sender', 'none', seed + damage, 'killed');
    pair.drifted = true;
    const random = seededRandom(seed + damage);
    const chunk = rot(pair.receiverWorld, random);
    await start(pair);
    assert.equal(pair.replicaNode.replica.record.suspect, null, 'no fingerprint tells');
    assert.equal(await pair.contact(), 'ready');
    const { differing, examples } = await verify(pair, true);
    assert.deepEqual([differing, examples], [1, [chunk * CHUNK_BYTES]], `HAST_SEED=${seed}`);
    assert.equal((await verify(pair, false)).differing, 0, 'the tables cannot tell');
    if (damage % 2 === 0) {
      // A guest writes beside it: the chunk does not come out, and is asked for whole (H28).
      ways.wanted += 1;
      const block = chunk * BLOCKS_PER_CHUNK * 4096;
      await pair.primaryNode.disk.write(block, Buffer.alloc(SECTOR_BYTES, 1 + random.below(255)));
    } else {
      ways.forced += 1;
      await createForce(pair);
    }
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'mended');
    assert.equal((await verify(pair, true)).differing, 0);
    await historyTrue(pair, pair.replicaNode);
  }
  t.diagnostic(`HAST_SEED=${seed} ${DAMAGES} damages, all named; ${JSON.stringify(ways)}`);
});

test("rot in a primary's disk: named by the background pass, kept by history", LIMIT, async (t) => {
  const seed = seedFromEnv();
  const heard = new Heard();
  const base = await atRest(seed, heard);
  for (let damage = 0; damage < DAMAGES; damage += 1) {
    const pair = base.fork('sender', 'none', seed + damage, 'killed');
    const chunk = rot(pair.senderWorld, seededRandom(seed + damage));
    await start(pair);
    const { primary, parts, resourceFile } = pair.primaryNode;
    assert.equal(primary.belief, 'exact', 'no fingerprint tells');
    assert.equal(await pair.contact(), 'ready');
    const trusted = (): boolean =>
      sameId(parts.table.point?.id, recordOf(resourceFile, 'b').point?.id);
    const targets = [{ target: 'b', slot: 0, table: parts.table, trusted }];
    const { compute, log } = parts;
    heard.lines = [];
    const chunks = chunkCount(shape.sizeBytes);
    const { volume } = primary;
    const { untracked } = await scrubStep({ volume, compute, targets, log }, 0, chunks, signal);
    assert.deepEqual(
      untracked.map((each) => each.chunk),
      [chunk],
      `HAST_SEED=${seed}`,
    );
    assert.ok(heard.naming(`"offset":${chunk * CHUNK_BYTES}`), heard.lines.join('\n'));
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'both hold the same');
    await historyTrue(pair, pair.replicaNode);
  }
  t.diagnostic(`HAST_SEED=${seed} ${DAMAGES} damages, all named; older points have what was there`);
});
