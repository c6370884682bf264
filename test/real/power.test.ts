// Power cuts under writing guests and running rounds: everything that was not flushed is lost, of
// disk and state alike. A primary with `metaflush on` believes its maps afterwards (H10): its disk
// has every flushed write, nothing is compared that was not touched, and the next round makes the
// replica equal, though that may have had what the primary lost (H6). A replica opens at a whole
// point (C1), the one it had answered for or a later one.
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { checkImage } from '../consistency/check-point.js';
import { seedFromEnv } from './guest.js';
import { makePair, type Pair, type RealNode } from './nodes.js';
import { type PowerDisk, powerDisk } from './power.js';
import { create, takeRole, until } from './steps.js';
import { tail, Watched } from './watched.js';

const SEED = seedFromEnv();
const SIZE = 24 * MIB + 512;
/** Where guests write: four extents of thirteen. */
const WRITTEN_BYTES = 8 * MIB;
const WRITTEN_EXTENTS = 4;
/** Of the file system: the disk, the state, staged rounds and undos. */
const DISK_BYTES = 192 * MIB;
const CUTS = process.env['HAST_REQUIRE_ALL'] === '1' ? 6 : 4;
const RUN_MS_MIN = 300;
const RUN_MS_MAX = 1500;
const PAUSE_MS = 50;
const START_MS = 200;

/** A pair, a primary; disk and state of `which` are on a disk whose power can be cut. Null after
 * skipping. */
async function begin(t: TestContext, which: 'a' | 'b') {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const config = 'interval 1h  timeout 3s  metaflush on';
  const pair = await makePair(t, { sizeBytes: SIZE, config, hastdArgs: ['-d'] });
  const disk = await powerDisk(t, DISK_BYTES);
  if (disk === null) return null;
  const { folder, a, b } = pair;
  const moved = readFileSync(pair.config, 'utf8')
    .replace(`statedir ${folder}/${which} `, `statedir ${disk.folder}/${which} `)
    .replace(`local ${folder}/${which}.img `, `local ${disk.folder}/${which}.img `);
  writeFileSync(pair.config, moved);
  symlinkSync(join(disk.folder, `${which}.img`), pair[which].image);
  await Promise.all([a.hastd(), b.hastd()]);
  await create(a, SIZE);
  await create(b);
  await takeRole(b, 'secondary');
  await takeRole(a, 'primary');
  return { pair, disk, random: seededRandom(SEED) };
}

/** Everything of `node` stops within one turn, as when the power fails; then it is back. */
async function powerFails(node: RealNode, disk: PowerDisk): Promise<void> {
  const ended = node.kill('SIGKILL'); // both signals are sent before anything is waited for
  disk.cut();
  await ended;
  await disk.off();
  await disk.on();
}

test(`${CUTS} power cuts of a primary with metaflush on: nothing flushed is lost`, async (t) => {
  const begun = await begin(t, 'a');
  if (begun === null) return;
  const { pair, disk, random } = begun;
  const { a, b } = pair;
  let watched = new Watched(a, WRITTEN_BYTES, SEED);
  let lostInAll = 0;
  for (let cut = 1; cut <= CUTS; cut += 1) {
    await watched.startGuests();
    await sleep(START_MS);
    await watched.applied();
    const stop = watched.rounds(PAUSE_MS);
    await sleep(RUN_MS_MIN + random.below(RUN_MS_MAX));
    await powerFails(a, disk);
    await stop();
    await watched.lostGuests();
    await watched.seen(b);
    const image = readFileSync(a.image);
    const lost = await whatWasLost(watched, image);
    lostInAll += lost;
    const logged = a.log().length;
    await a.hastd();
    await takeRole(a, 'primary', { alone: true });
    const said = a.log().slice(logged);
    assert.match(said, /extents in doubt after a crash of the daemon/, said);
    assert.doesNotMatch(said, /everything is compared/, said);
    const extents = Number(/"extents":(\d+)/.exec(said)?.[1]);
    assert.ok(extents <= WRITTEN_EXTENTS, `${extents} extents`);
    t.diagnostic(
      `cut ${cut}: ${lost} blocks lost what was not flushed; ${extents} extents in doubt`,
    );
    // What is there now is the truth; what comes is written over it.
    watched = new Watched(a, WRITTEN_BYTES, SEED + 100 * cut, image);
    await goesThrough(watched, pair, ['applied', 'committed', 'nothing']);
    assertEqual(pair);
    await watched.endsEqual(b);
  }
  assert.ok(lostInAll > 0, 'the cuts were power cuts');
});

/** Fails unless the image has what was flushed; counts blocks that lost answered writes. */
async function whatWasLost({ log, guests }: Watched, image: Buffer): Promise<number> {
  const endedAt = log.stamp();
  const beganAt = Math.max(...guests.map(({ flushedAt }) => flushedAt));
  assert.ok(beganAt > 0, 'a flush was answered');
  // Each block for itself: what was not flushed may be there or not.
  const limit = { oneInstant: false, sizeBytes: SIZE, violationsMax: log.blocks };
  const found = await checkImage(image, log, { beganAt, endedAt }, limit);
  // A write that no flush covers may be torn at sectors: the kernel may copy it into a page that is
  // on its way to the disk for a flush of older content.
  const covered = (block: number): boolean =>
    log.operationsOn(block).every((one) => one.endedAt <= beganAt);
  const flushed = found.filter(({ kind, block }) => kind !== 'torn' || covered(block));
  assert.deepEqual(flushed.slice(0, 5), [], 'a flushed write is missing');
  const now = { beganAt: endedAt, endedAt };
  return (await checkImage(image, log, now, limit)).length;
}

function assertEqual({ a, b }: Pair): void {
  const [mine, theirs] = [a, b].map(({ image }) => readFileSync(image).subarray(0, SIZE));
  assert.ok(mine && theirs?.equals(mine), 'the round has made the replica equal');
}

test(`${CUTS} power cuts of a replica: it opens at a whole point, the next is one`, async (t) => {
  const begun = await begin(t, 'b');
  if (begun === null) return;
  const { pair, disk, random } = begun;
  const { a, b } = pair;
  const watched = new Watched(a, WRITTEN_BYTES, SEED);
  await watched.startGuests();
  await sleep(START_MS);
  for (let cut = 1; cut <= CUTS; cut += 1) {
    await watched.applied();
    const before = await watched.seen(b);
    const stop = watched.rounds(PAUSE_MS);
    await sleep(random.below(RUN_MS_MAX));
    const answered = Math.max(before?.number ?? 0, await lastPoint(a));
    const logged = b.log().length;
    await powerFails(b, disk);
    await b.hastd();
    await takeRole(b, 'secondary');
    const after = await watched.seen(b);
    assert.ok(after !== null && after.number >= answered, 'what was answered for is durable');
    await stop();
    await goesThrough(watched, pair, ['applied']);
    await watched.seen(b);
    const compared = b.log().slice(logged).includes('comparing it with its table');
    t.diagnostic(`cut ${cut}: at ${after.number} of ${answered}; compared: ${compared}`);
  }
  await watched.endsEqual(b);
  const [vm1] = (await a.control.status(['vm1'])).resources;
  assert.equal(vm1?.targets[0]?.driftChunks, 0, `nothing had changed\n${tail(b)}`);
});

type Outcomes = Awaited<ReturnType<Watched['sync']>>;

/** Rounds are asked for until one ends in one of `wanted`; in vain: what the last one said. */
async function goesThrough(
  watched: Watched,
  { a, b }: Pair,
  wanted: readonly Outcomes[number]['outcome'][],
): Promise<void> {
  let last: Outcomes = [];
  const look = async (): Promise<boolean> => {
    last = await watched.sync();
    return last.every(({ outcome }) => wanted.includes(outcome));
  };
  await until('a round goes through', look).catch((error: unknown) => {
    assert.fail(`${String(error)}\n${JSON.stringify(last)}\n${tail(a)}\n${tail(b)}`);
  });
}

/** Number of the last point that the primary knows to be committed. */
async function lastPoint(a: RealNode): Promise<number> {
  const { points } = await a.control.points('vm1');
  return points.at(-1)?.number ?? 0;
}
