// The consistency test: guests write through NBD on two connections while rounds run back to back,
// and after each round the replica's image is a point as D2 says, no older than its cut: every
// write answered before, nothing issued after, one instant for all blocks. Then the teeth: images
// that a wrong program would leave are found out.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { BlockLog, type OperationRecord } from '../consistency/block-log.js';
import { type CutWindow, checkImage, type Violation } from '../consistency/check-point.js';
import { Guest, seedFromEnv, stampsOfCut } from './guest.js';
import { type Pair, startPair } from './nodes.js';

const SEED = seedFromEnv();
/** The last chunk and the last block are short (H14). */
const SIZE = 12 * MIB + 512;
const ROUNDS = 32;
const PAUSE_MS_MAX = 200;

test(`${ROUNDS} rounds under two writing connections: each image is a point (D2)`, async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const pair = await startPair(t, { sizeBytes: SIZE, hastdArgs: ['-d'] });
  const { a } = pair;
  const random = seededRandom(SEED);
  const log = new BlockLog({ sizeBytes: SIZE, seed: SEED });
  const guests = [0, 1].map((client) => new Guest(client, log, seededRandom(SEED + 1 + client)));
  for (const guest of guests) await guest.start(a.nbdSocket);
  await sleep(200);
  let checked: { image: Buffer; cut: CutWindow } | null = null;
  let underWay = 0;
  for (let round = 1; round <= ROUNDS; round += 1) {
    const { cut, point } = await oneRound(pair, log, round);
    // Nothing writes the replica before the next round is asked for.
    const image = readFileSync(pair.b.image).subarray(0, SIZE);
    assert.equal(image.length, SIZE);
    const found = await checkImage(image, log, cut);
    assert.deepEqual(found, [], `round ${round}, point ${point}`);
    underWay += log
      .records()
      .filter((one) => one.issuedAt < cut.endedAt && one.endedAt > cut.beganAt).length;
    checked = { image, cut };
    await sleep(random.below(PAUSE_MS_MAX));
  }
  await sleep(PAUSE_MS_MAX); // something is written after the last cut
  assert.ok(checked !== null);
  for (const guest of guests) await guest.stop();
  await findsWhatIsWrong(checked.image, log, checked.cut);
  const [resource] = (await a.control.status([])).resources;
  const preserved = resource?.counters?.preservedChunks ?? 0;
  const answers = guests.reduce((sum, guest) => sum + guest.answers, 0);
  t.diagnostic(`${answers} answers, ${underWay} operations under way in cuts`);
  t.diagnostic(
    `${preserved} chunks preserved; gate held ${resource?.counters?.gateHoldMicrosMax} µs`,
  );
  assert.ok(underWay > ROUNDS, 'cuts fell between requests and answers');
  assert.ok(preserved > ROUNDS, 'guests overwrote frozen chunks');
  await isTheSame(pair);
});

/** A round by the control socket, every fifth by hastctl; its cut as stamps. */
async function oneRound(pair: Pair, log: BlockLog, round: number) {
  const { a } = pair;
  const askedAt = log.stamp();
  if (round % 5 === 0) await a.ask('sync', 'vm1', '--wait');
  else {
    const { outcomes } = await a.control.sync(
      'vm1',
      { wait: 'applied' },
      new AbortController().signal,
    );
    assert.deepEqual(
      outcomes.map(({ outcome }) => outcome),
      ['applied'],
      `${JSON.stringify(outcomes)}\n${a.log()}`,
    );
  }
  const answeredAt = log.stamp();
  const { point, ...wall } = lastCut(a.log());
  const cut = stampsOfCut(wall);
  assert.ok(cut.beganAt > askedAt - 5e6 && cut.endedAt < answeredAt + 5e6, 'the cut is of now');
  const window: CutWindow = {
    beganAt: Math.max(askedAt, cut.beganAt),
    endedAt: Math.min(answeredAt, cut.endedAt),
  };
  return { cut: window, point };
}

/** The last cut that hastd -d has logged. */
function lastCut(log: string): { point: number; beganMs: number; endedMs: number } {
  const line = log.split('\n').findLast((each) => each.includes('"msg":"cut"'));
  assert.ok(line !== undefined, 'hastd -d logs its cuts');
  return JSON.parse(line);
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

/** With the guests gone and a last round, both disks are equal, by both ways to tell. */
async function isTheSame({ a, b }: Pair): Promise<void> {
  await a.ask('sync', 'vm1', '--wait');
  const [mine, theirs] = [a, b].map(({ image }) => readFileSync(image).subarray(0, SIZE));
  assert.ok(mine && theirs?.equals(mine), 'the images are equal');
  const verified = await a.ask('verify', 'vm1', '--deep');
  assert.match(JSON.stringify(verified), /"differing":0/);
}
