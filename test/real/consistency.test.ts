// The consistency test: guests write through NBD on two connections while rounds run back to back,
// and after each round the replica's image is a point as D2 says, no older than its cut: every
// write answered before, nothing issued after, one instant for all blocks. Once as it comes, once
// with `metaflush on`. Then the teeth: images that a wrong program would leave are found out.
// Widened in consistency-targets.test.ts and consistency-disks.test.ts.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import type { BlockLog, OperationRecord } from '../consistency/block-log.js';
import { type CutWindow, checkImage, type Violation } from '../consistency/check-point.js';
import { seedFromEnv } from './guest.js';
import { type Pair, startPair } from './nodes.js';
import { type Seen, Watched } from './watched.js';

const SEED = seedFromEnv();
/** The last chunk and the last block are short (H14). */
const SIZE = 12 * MIB + 512;
const ROUNDS = 20;
const ROUNDS_METAFLUSH = 10;
const PAUSE_MS_MAX = 200;

test(`${ROUNDS} rounds under two writing connections: each image is a point (D2)`, async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const pair = await startPair(t, { sizeBytes: SIZE, hastdArgs: ['-d'] });
  const { watched, last } = await backToBack(t, pair, ROUNDS);
  await findsWhatIsWrong(last.image, watched.log, last.cut);
});

test(`${ROUNDS_METAFLUSH} rounds with metaflush on: each image is a point (H10)`, async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const config = 'interval 1h  metaflush on';
  const pair = await startPair(t, { sizeBytes: SIZE, config, hastdArgs: ['-d'] });
  await backToBack(t, pair, ROUNDS_METAFLUSH);
  const { counters } = (await pair.a.control.status([])).resources[0] ?? {};
  assert.ok(counters && counters.firstTouches > 0, 'writes waited for their extent');
  t.diagnostic(`${counters.firstTouches} first touches, up to ${counters.firstTouchMicrosMax} µs`);
});

/** Rounds, each image checked; in the end all is equal. Returns the last point. */
async function backToBack(t: TestContext, { a, b }: Pair, rounds: number) {
  const random = seededRandom(SEED);
  const watched = new Watched(a, SIZE, SEED);
  await watched.startGuests();
  await sleep(200);
  let last: Seen | null = null;
  let underWay = 0;
  for (let round = 1; round <= rounds; round += 1) {
    const before: number = last?.number ?? 0;
    // Every fifth by hastctl.
    if (round % 5 === 0) await a.ask('sync', 'vm1', '--wait');
    else await watched.applied();
    last = await watched.seen(b);
    assert.ok(last !== null && last.number > before, 'a round makes a point');
    underWay += watched.underWay(last.cut);
    await sleep(random.below(PAUSE_MS_MAX));
  }
  await sleep(PAUSE_MS_MAX); // something is written after the last cut
  const { counters } = (await a.control.status([])).resources[0] ?? {};
  assert.ok(last !== null && counters);
  t.diagnostic(`${watched.answers} answers, ${underWay} operations under way in cuts`);
  t.diagnostic(
    `${counters.preservedChunks} chunks preserved; gate held ${counters.gateHoldMicrosMax} µs`,
  );
  assert.ok(underWay > rounds, 'cuts fell between requests and answers');
  assert.ok(counters.preservedChunks > rounds, 'guests overwrote frozen chunks');
  await watched.endsEqual(b);
  return { watched, last };
}

/** Each image that differs from the point in one block, in the way of a known mistake, is found. */
async function findsWhatIsWrong(image: Buffer, log: BlockLog, cut: CutWindow): Promise<void> {
  const once = log.records().filter((one) => one.blocks < 4 && isUnique(log, one));
  const before = once.filter((one) => one.answeredAt < cut.beganAt);
  const stale = before.find((one) =>
    log
      .operationsOn(one.firstBlock)
      .some((each) => each.kind !== 'trim' && surelyLater(each, one) && isBefore(each, cut)),
  );
  const after = once.find((one) => one.issuedAt > cut.endedAt);
  const last = before.at(-1);
  assert.ok(stale !== undefined && after !== undefined && last !== undefined, 'seen enough');
  const cases: [Violation['kind'], number, Uint8Array][] = [
    ['missing', stale.firstBlock, log.blockOf(stale, stale.firstBlock)],
    ['future', after.firstBlock, log.blockOf(after, after.firstBlock)],
    ['misplaced', last.firstBlock, log.blockOf(last, last.firstBlock ^ 1)],
    ['torn', last.firstBlock, flipped(log.blockOf(last, last.firstBlock))],
    ['alien', last.firstBlock, new Uint8Array(BLOCK_BYTES).fill(0x5a)],
  ];
  for (const [kind, block, bytes] of cases) {
    const wrong = Buffer.from(image);
    wrong.set(bytes, block * BLOCK_BYTES);
    const found = await checkImage(wrong, log, cut);
    assert.deepEqual(
      found.map((one) => [one.kind, one.block]),
      [[kind, block]],
    );
  }
}

const surelyLater = (one: OperationRecord, than: OperationRecord): boolean =>
  one.issuedAt > than.endedAt;

const isBefore = (one: OperationRecord, cut: CutWindow): boolean => one.answeredAt < cut.beganAt;

/** A write of whole blocks whose content was written to its first block only once. */
const isUnique = (log: BlockLog, one: OperationRecord): boolean =>
  one.kind === 'write' &&
  one.firstBlock + 4 < log.blocks &&
  log
    .operationsOn(one.firstBlock)
    .every((each) => each === one || each.version !== one.version || each.client !== one.client);

function flipped(bytes: Uint8Array): Uint8Array {
  bytes[1000] = (bytes[1000] ?? 0) ^ 1;
  return bytes;
}
