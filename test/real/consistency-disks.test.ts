// The consistency test over disks that change: the primary's grows while guests write and rounds
// run (H14), so that each point has the size of its cut; and the replica's is written behind its
// back while its hastd is down (H28): found at the next start, mended by the next round.
import assert from 'node:assert/strict';
import { closeSync, openSync, truncateSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { seedFromEnv } from './guest.js';
import { type RealNode, startPair } from './nodes.js';
import { takeRole, until } from './steps.js';
import { type Seen, Watched } from './watched.js';

const SEED = seedFromEnv();
/** The last chunk and the last block are short, before and after each growth but the last. */
const SIZES = [6 * MIB + 512, 6 * MIB + 3072, 9 * MIB + 65_536 + 1536, 12 * MIB];
const ROUNDS_EACH = 3;
const DRIFTS = 4;
const PLACES = 6;

test('the disk grows under writing guests: each point has the size of its cut', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const random = seededRandom(SEED);
  const [first = 0, ...larger] = SIZES;
  const { a, b } = await startPair(t, { sizeBytes: first, hastdArgs: ['-d'] });
  const watched = new Watched(a, first, SEED);
  await watched.startGuests();
  const sizes: number[] = [];
  const rounds = async (): Promise<void> => {
    for (let round = 0; round < ROUNDS_EACH; round += 1) {
      await watched.applied();
      sizes.push((await watched.seen(b))?.image.length ?? 0);
      await sleep(random.below(100));
    }
  };
  await rounds();
  for (const sizeBytes of larger) {
    // In the middle of a round, or of the pause between two.
    const stop = watched.rounds(random.below(50));
    await sleep(random.below(400));
    truncateSync(a.image, sizeBytes);
    const before = watched.log.sizeBytes;
    await a.ask('resize', '--disconnect', 'vm1');
    await watched.lostGuests();
    watched.log.grow(sizeBytes);
    const between = await watched.seen(b);
    const size = between?.image.length;
    assert.ok(size === before || size === sizeBytes, `${size} is no size that it had`);
    await watched.startGuests();
    await stop();
    await until('a round goes through again', async () => {
      return (await watched.sync())[0]?.outcome === 'applied';
    });
    assert.equal((await watched.seen(b))?.image.length, sizeBytes);
    await rounds();
  }
  t.diagnostic(`sizes of points: ${sizes.join(' ')}; ${watched.answers} answers`);
  await watched.endsEqual(b);
});

test('the replica is written behind its back: found, and mended by the next round', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const random = seededRandom(SEED);
  const size = 12 * MIB + 512;
  const { a, b } = await startPair(t, { sizeBytes: size, hastdArgs: ['-d'] });
  const watched = new Watched(a, size, SEED);
  await watched.startGuests();
  await watched.applied();
  const totals = { clean: 0, dirty: 0 };
  for (let drift = 1; drift <= DRIFTS; drift += 1) {
    // Few chunks are written after this point, so that some of the changed ones are clean.
    await watched.applied();
    const point = await watched.seen(b);
    assert.ok(point !== null);
    await b.kill(random.below(2) === 0 ? 'SIGKILL' : 'SIGTERM');
    await watched.stopGuests();
    const { clean, dirty } = chunksSince(watched, point, size);
    const places = [...sample(clean, random.below), ...sample(dirty, random.below)];
    totals.clean += Math.min(PLACES, clean.length);
    totals.dirty += Math.min(PLACES, dirty.length);
    const others = places.map((chunk) => chunk * CHUNK_BYTES + random.below(CHUNK_BYTES - 512));
    spoil(
      b,
      others.map((offset) => Math.min(offset, size - 512)),
    );
    const before = await driftOf(a);
    const logged = b.log().length;
    await b.hastd();
    await takeRole(b, 'secondary');
    await watched.startGuests();
    await until('a round goes through', async () => {
      return (await watched.sync())[0]?.outcome === 'applied';
    });
    const said = b.log().slice(logged);
    assert.match(said, /may have been changed; comparing/);
    assert.ok(((await watched.seen(b))?.number ?? 0) > point.number);
    assert.ok((await driftOf(a)) - before >= Math.min(PLACES, clean.length), 'drift is counted');
    await until('nobody doubts it any more', async () => {
      return (await b.control.status(['vm1'])).resources[0]?.targets[0]?.data === 'clean';
    });
  }
  t.diagnostic(`spoilt chunks: ${totals.clean} clean, ${totals.dirty} dirty`);
  assert.ok(totals.clean > 0 && totals.dirty > 0);
  await watched.endsEqual(b);
});

/** Chunks that nobody has touched since the cut of a point, and chunks that were written after. */
function chunksSince({ log }: Watched, { cut }: Seen, sizeBytes: number) {
  const touched = new Set<number>();
  const perChunk = CHUNK_BYTES / BLOCK_BYTES;
  for (const { firstBlock, blocks, endedAt } of log.records()) {
    if (endedAt < cut.beganAt) continue;
    const last = Math.floor((firstBlock + blocks - 1) / perChunk);
    for (let chunk = Math.floor(firstBlock / perChunk); chunk <= last; chunk += 1) {
      touched.add(chunk);
    }
  }
  const all = Array.from({ length: Math.ceil(sizeBytes / CHUNK_BYTES) }, (_, chunk) => chunk);
  return { clean: all.filter((chunk) => !touched.has(chunk)), dirty: [...touched] };
}

const sample = (from: readonly number[], below: (limit: number) => number): number[] =>
  from.toSorted(() => below(3) - 1).slice(0, PLACES);

/** Half a sector at each offset, so that most of its block is still what the table says. */
function spoil({ image }: RealNode, offsets: readonly number[]): void {
  const disk = openSync(image, 'r+');
  for (const offset of offsets) writeSync(disk, Buffer.alloc(256, 0x5a), 0, 256, offset);
  closeSync(disk);
}

async function driftOf(node: RealNode): Promise<number> {
  const [vm1] = (await node.control.status(['vm1'])).resources;
  return vm1?.targets[0]?.driftChunks ?? 0;
}
