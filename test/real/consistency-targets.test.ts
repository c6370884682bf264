// The consistency test over several targets: rounds of two replicas overlap, each at its own pace,
// and each image is the point of its own cut, not of the other's (H16); then one link is cut every
// second or two while rounds run: they go on and commit, and each image is a point all the same
// (D3). Guests write all the time.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import type { RoundRecord } from '../../src/control/api.js';
import { checkImage } from '../consistency/check-point.js';
import { seedFromEnv } from './guest.js';
import type { RealNode } from './nodes.js';
import { startTrio, type Trio, type TrioOptions } from './trio.js';
import { type CutLine, cutLines, Watched } from './watched.js';

const SEED = seedFromEnv();
/** The last chunk and the last block are short (H14). */
const SIZE = 8 * MIB + 512;
/** Points of each replica to be seen. */
const DISTINCT_MIN = 4;
const ROUNDS_MS = 12_000;
const ROUNDS_MS_MAX = 40_000;
/** Cuts that far apart have writes between them. */
const APART_NS = 300e6;
const CUTTING_MS = 16_000;
const ROUNDS_MIN = 3;
const LINKS_MIN = 5;
const never = (): AbortSignal => new AbortController().signal;

async function begin(t: TestContext, options: Partial<TrioOptions>) {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const trio = await startTrio(t, { sizeBytes: SIZE, hastdArgs: ['-d'], ...options });
  const watched = new Watched(trio.a, SIZE, SEED);
  await watched.startGuests();
  await watched.applied();
  for (const replica of [trio.b, trio.c]) await watched.seen(replica);
  return { trio, watched, random: seededRandom(SEED) };
}

for (const metaflush of ['off', 'on']) {
  test(`rounds of two targets overlap, each at its own cut; metaflush ${metaflush}`, async (t) => {
    const config = `interval 1h  metaflush ${metaflush}`;
    const { trio, watched, random } = await begin(t, { config });
    const { a, b, c, toC } = trio;
    // A round of c lasts a second or two; b, asked again and again, makes several meanwhile.
    toC.bytesPerSecond = 6 * MIB;
    const seen = new Map<RealNode, Set<number>>([b, c].map((node) => [node, new Set()]));
    let [underWay, mistaken] = [0, 0];
    const startMs = performance.now();
    const enough = (): boolean => {
      const elapsedMs = performance.now() - startMs;
      const points = [...seen.values()].every(({ size }) => size >= DISTINCT_MIN);
      return elapsedMs > ROUNDS_MS_MAX || (elapsedMs > ROUNDS_MS && points && mistaken > 0);
    };
    while (!enough()) {
      await a.control.sync('vm1', { wait: null }, never());
      await sleep(random.below(250));
      for (const [replica, points] of seen) {
        const point = await watched.seen(replica);
        if (point === null || points.has(point.number)) continue;
        points.add(point.number);
        underWay += watched.underWay(point.cut);
      }
      mistaken += await mistakenForOther(watched, b, c);
    }
    assert.ok(mistaken > 0, 'there were points to be mistaken for each other');
    toC.bytesPerSecond = null;
    await watched.applied();
    const [ofB, ofC] = [...seen.values()].map((points) => points.size);
    const overlaps = overlapping(cutLines(a));
    t.diagnostic(
      `points seen: b ${ofB}, c ${ofC}; ${overlaps} cuts of b in rounds of c; ` +
        `${underWay} operations under way in cuts`,
    );
    assert.ok((ofB ?? 0) >= DISTINCT_MIN && (ofC ?? 0) >= DISTINCT_MIN);
    assert.ok(overlaps >= DISTINCT_MIN, 'rounds overlapped');
    await watched.endsEqual(b, c);
  });
}

/** The teeth: the image of either is no point of the other's cut. 0: the cuts are too near. */
async function mistakenForOther(watched: Watched, ...[b, c]: [RealNode, RealNode]) {
  const [ofB, ofC] = [await watched.seen(b), await watched.seen(c)];
  if (ofB === null || ofC === null || ofB.cut.beganAt < ofC.cut.endedAt + APART_NS) return 0;
  for (const [one, other] of [
    [ofB, ofC],
    [ofC, ofB],
  ] as const) {
    const found = await checkImage(one.image, watched.log, other.cut, { violationsMax: 1 });
    assert.match(found[0]?.kind ?? 'nothing', /^(future|missing|order)$/);
  }
  return 1;
}

/** Cuts of b that fell between the cut of a round of c and its commit. */
function overlapping(cuts: readonly CutLine[]): number {
  const ofC = cuts.filter(({ target }) => target === 'c');
  const within = (cut: CutLine): boolean =>
    ofC.some(({ endedMs, time }) => endedMs < cut.beganMs && cut.endedMs < time);
  return cuts.filter((cut) => cut.target === 'b' && within(cut)).length;
}

test('the link of b is cut every second or two: its rounds go on, points are points', async (t) => {
  const { trio, watched, random } = await begin(t, { config: 'interval 1h  timeout 20s' });
  const { a, b, c, toB } = trio;
  toB.bytesPerSecond = 6 * MIB;
  const connections = toB.connections;
  const passedBefore = toB.bytes.up;
  const stopCutting = cutting(trio, random);
  const records: RoundRecord[] = [];
  const end = performance.now() + CUTTING_MS;
  while (performance.now() < end || records.length < ROUNDS_MIN) {
    await watched.applied();
    await watched.seen(b);
    await watched.seen(c);
    const { rounds } = await a.control.rounds('vm1');
    const record = rounds.findLast(({ target }) => target === 'b');
    assert.equal(record?.outcome, 'committed');
    records.push(record);
  }
  await stopCutting();
  const resent = records.reduce((sum, { resentBytes }) => sum + resentBytes, 0);
  const sent = records.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  const links = toB.connections - connections;
  const passed = toB.bytes.up - passedBefore;
  t.diagnostic(
    `${records.length} rounds over ${links} connections: ${sent} bytes, ${passed} passed, ` +
      `${resent} sent again`,
  );
  assert.ok(links >= LINKS_MIN, 'the link was cut, and stood again');
  assert.ok(resent > 0, 'what was under way is sent again, and said');
  const { targets } = (await a.control.status(['vm1'])).resources[0] ?? {};
  assert.deepEqual(
    targets?.map(({ failedRounds }) => failedRounds),
    [0, 0],
  );
  toB.bytesPerSecond = null;
  await watched.endsEqual(b, c);
});

/** Cuts the link of b at random moments; returns what ends that. */
function cutting({ toB }: Trio, random: Random): () => Promise<void> {
  let running = true;
  const all = (async () => {
    while (running) {
      await sleep(1000 + random.below(1000));
      if (running) toB.cut();
    }
  })();
  return () => {
    running = false;
    return all;
  };
}
