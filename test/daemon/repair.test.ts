// H20, who may give a chunk back: a target that stands at the point of its table, for which the
// wanted blocks are clean, whose answer has the table's digest, and in time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/base/digest.js';
import { silentLog } from '../../src/base/log.js';
import { deferred } from '../../src/base/sync.js';
import { BLOCKS_PER_CHUNK, CHUNK_BYTES } from '../../src/base/units.js';
import { REPAIR_MS_MAX, type RepairSource, repairChunk } from '../../src/daemon/repair.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { FakeClock } from '../world/fake-clock.js';

const CHUNK = 3;
const CONTENT = new Uint8Array(CHUNK_BYTES).fill(7);
const POINT: PointRef = { id: new Uint8Array(16).fill(1), number: 4, timeMs: 0 };

interface Made {
  readonly point?: PointRef | null;
  readonly digest?: Uint8Array | null;
  /** Blocks of the disk. */
  readonly dirty?: readonly number[];
  readonly answer?: () => Promise<Uint8Array | null>;
}

/** A target in `slot`, and how often it was asked. */
function source(slot: number, made: Made = {}) {
  const asked: [number, PointRef][] = [];
  const written: (readonly unknown[])[] = [];
  const answer = made.answer ?? (() => Promise.resolve(CONTENT));
  const parts = {
    target: `t${slot}`,
    slot,
    log: silentLog,
    table: {
      point: made.point === undefined ? POINT : made.point,
      get: () => (made.digest === undefined ? digestOf(CONTENT) : made.digest),
    },
    volume: {
      isDirty: (of: number, first: number, last: number) =>
        of === slot && (made.dirty ?? []).some((block) => block >= first && block <= last),
      betweenCuts: <T>(work: () => Promise<T>) => work(),
      swaps: 12,
      writeBack: async (...args: readonly unknown[]) => {
        written.push(args);
        return 1;
      },
    },
  };
  const target = {
    chunk: (chunk: number, at: PointRef) => {
      asked.push([chunk, at]);
      return answer();
    },
  };
  return { source: { round: parts, target } as unknown as RepairSource, asked, written };
}

const repaired = (sources: readonly RepairSource[], mask = 0b11) =>
  repairChunk(sources, CHUNK, mask, new FakeClock());

test('the first target that can gives it, asked for the point of the table', async () => {
  const [first, second] = [source(0), source(1)];
  const answer = await repaired([first.source, second.source]);
  assert.deepEqual(answer, CONTENT);
  const call = [0, CHUNK, 0b11, CONTENT, 12];
  assert.deepEqual(first.written, [call], 'and written back, as of the look');
  assert.deepEqual(first.asked, [[CHUNK, POINT]]);
  assert.deepEqual(second.asked, []);
});

test('who has no point, no digest, other content, or an error is passed over', async () => {
  const wrong: Made[] = [
    { point: null },
    { digest: null },
    { digest: digestOf(new Uint8Array(1)) },
    { answer: async () => null },
    { answer: async () => CONTENT.slice(1) },
    { answer: () => Promise.reject(new TypeError('lost')) },
  ];
  for (const made of wrong) {
    assert.equal(await repaired([source(0, made).source]), null);
    const [bad, good] = [source(0, made), source(1)];
    assert.deepEqual(await repaired([bad.source, good.source]), CONTENT);
    assert.deepEqual([bad.written.length, good.written.length], [0, 1]);
  }
});

test('a wanted block that is dirty for the target forbids it; another block does not', async () => {
  const first = CHUNK * BLOCKS_PER_CHUNK;
  const dirty = source(0, { dirty: [first + 1] });
  assert.equal(await repaired([dirty.source], 0b10), null);
  assert.deepEqual(dirty.asked, [], 'it is not even asked');
  assert.deepEqual(await repaired([dirty.source], 0b101), CONTENT);
  const outside = source(0, { dirty: [first - 1, first + BLOCKS_PER_CHUNK] });
  assert.deepEqual(await repaired([outside.source], 0xffff), CONTENT);
});

test('after five seconds the guest gets its error', async () => {
  const clock = new FakeClock();
  const never = source(0, { answer: () => deferred<null>().promise });
  let answer: unknown = 'none yet';
  const asking = repairChunk([never.source, source(1).source], CHUNK, 1, clock).then((value) => {
    answer = value;
  });
  await clock.advance(REPAIR_MS_MAX - 1);
  assert.equal(answer, 'none yet');
  await clock.advance(1);
  await asking;
  assert.equal(answer, null);
});
