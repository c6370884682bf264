// What is kept of a round, and the window of a session: order, bounds, acknowledgement, by example
// and by seed against a plain list.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import {
  REUSE_ITEM_UNSTAGED_BYTES,
  UNSTAGED_BYTES_MAX,
  WANT_CHUNKS_MAX,
} from '../../src/peer/limits.js';
import { KeptFrames } from '../../src/target/kept.js';
import { inPieces } from '../../src/target/pieces.js';
import { RunningRound, reuseBytes } from '../../src/target/running.js';
import { stalls } from '../../src/target/stall-watch.js';
import { seeded } from '../peer/material.js';
import { FakeClock } from '../world/fake-clock.js';

const frame = (number: number, bytes = 10) => ({
  number,
  windowBytes: bytes,
  wireBytes: bytes,
  send: async () => {},
});

test('frames are handed out in order, once a session, and again after a rewind', () => {
  const kept = new KeptFrames();
  for (let number = 0; number < 4; number += 1) kept.add(frame(number));
  assert.deepEqual([kept.handOut()?.number, kept.handOut()?.number], [0, 1]);
  kept.acknowledge(1);
  assert.equal(kept.handOut()?.number, 2);
  kept.rewind();
  assert.deepEqual(
    [1, 2, 3].map(() => kept.handOut()?.number),
    [1, 2, 3],
  );
  assert.ok(kept.handedOut && kept.handOut() === null && !kept.empty);
  kept.acknowledge(4);
  assert.ok(kept.empty && kept.end === 4 && kept.acknowledged === 4);
});

test('an acknowledgement never goes back, and releases whoever put the frame', () => {
  const kept = new KeptFrames();
  const [one, two] = [kept.add(frame(0)), kept.add(frame(1))];
  assert.equal(kept.acknowledge(1), true);
  assert.equal(kept.acknowledge(1), false);
  assert.equal(kept.acknowledge(0), false);
  assert.deepEqual([one.accepted, two.accepted, kept.acknowledged], [true, false, 1]);
});

test('the window is full at 16 MiB, and one frame always has room', () => {
  const kept = new KeptFrames();
  assert.equal(kept.full(2 * UNSTAGED_BYTES_MAX), false);
  kept.add(frame(0, UNSTAGED_BYTES_MAX - 1));
  assert.deepEqual([kept.full(1), kept.full(2)], [false, true]);
  kept.acknowledge(1);
  assert.equal(kept.full(UNSTAGED_BYTES_MAX), false);
});

test('kept frames against a plain list', (t) => {
  const { seed } = seeded(t, 1);
  const random = seededRandom(seed);
  for (let run = 0; run < 200; run += 1) {
    const kept = new KeptFrames();
    let [acknowledged, next, end] = [0, 0, 0];
    for (let step = 0; step < 60; step += 1) {
      const what = random.below(4);
      if (what === 0) kept.add(frame(end++));
      else if (what === 1) {
        const number = kept.handOut()?.number;
        assert.equal(number, next < end ? next : undefined);
        if (next < end) next += 1;
      } else if (what === 2) {
        acknowledged = Math.max(acknowledged, random.below(end + 1));
        kept.acknowledge(acknowledged);
        next = Math.max(next, acknowledged);
      } else if (random.below(4) === 0) {
        kept.rewind();
        next = acknowledged;
      }
      assert.deepEqual([kept.acknowledged, kept.end], [acknowledged, end]);
      assert.deepEqual([kept.empty, kept.handedOut], [acknowledged === end, next === end]);
    }
  }
});

test('a session believes no watermark beyond what it sent', () => {
  const running = new RunningRound(new Uint8Array(16));
  running.begun(3);
  assert.equal(running.acknowledge(4), false);
  running.sends(3, 10);
  assert.equal(running.acknowledge(4), true);
  assert.equal(running.acknowledge(2), true, 'an older one is no harm');
  assert.equal(running.staged, 4);
});

test('a watermark that overtakes BEGUN is believed when it is told', () => {
  const running = new RunningRound(new Uint8Array(16));
  assert.equal(running.acknowledge(5), true);
  running.begun(3);
  assert.equal(running.staged, 5);
});

test('wants are noted up to their limit and taken once', () => {
  const running = new RunningRound(new Uint8Array(16));
  const chunks = Array.from({ length: WANT_CHUNKS_MAX }, (_, at) => at);
  for (let at = 0; at < 64; at += 1) assert.equal(running.want(chunks), true);
  assert.equal(running.want([1]), false);
  assert.equal(running.takeWanted().length, 64 * WANT_CHUNKS_MAX);
  assert.equal(running.want([1]), true);
  assert.deepEqual(running.takeWanted(), [1]);
});

test('a reuse counts by its chunks', () => {
  const item = { chunk: 1, digest: new Uint8Array(16) };
  assert.equal(reuseBytes([item, item]), 2 * REUSE_ITEM_UNSTAGED_BYTES);
});

test('pieces cover a range exactly, in order, at most four under way', async () => {
  for (const count of [1, 9, 10, 11, 99, 100]) {
    let [open, most] = [0, 0];
    const asked = await inPieces(7, count, 10, async (first, part) => {
      open += 1;
      most = Math.max(most, open);
      await Promise.resolve();
      open -= 1;
      return [first, part] as const;
    });
    let next = 7;
    for (const [first, part] of asked) {
      assert.ok(first === next && part >= 1 && part <= 10);
      next += part;
    }
    assert.equal(next, 7 + count);
    assert.ok(most <= 4);
  }
  await assert.rejects(
    inPieces(0, 5, 1, async (first) => {
      if (first === 3) throw new RangeError('no');
    }),
    RangeError,
  );
});

test('what stands still is noticed; pings do not count as moving', async () => {
  const clock = new FakeClock();
  let look: { staged: number; upBytes: number } | null = { staged: 0, upBytes: 0 };
  const stop = new AbortController();
  let result: boolean | null = null;
  const watching = stalls(clock, 40_000, stop.signal, () => look).then((stalled) => {
    result = stalled;
  });
  for (let at = 0; at < 10; at += 1) {
    await clock.advance(10_000);
    look = at < 4 ? { staged: at, upBytes: 0 } : { staged: 4, upBytes: 2000 * at };
  }
  assert.equal(result, null);
  for (let at = 1; at < 4; at += 1) {
    await clock.advance(10_000);
    look = { staged: 4, upBytes: 18_000 + 64 * at };
  }
  assert.equal(result, null);
  await clock.advance(20_000);
  await watching;
  assert.equal(result, true);
  assert.equal(clock.sleeping, 0);
});

test('nothing to look at, or a stop, ends the watch', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  assert.equal(await stalls(clock, 1000, stop.signal, () => null), false);
  let left = 2;
  const soon = stalls(clock, 1000, stop.signal, () => {
    left -= 1;
    return left < 0 ? null : { staged: 0, upBytes: 0 };
  });
  await clock.advance(1000);
  assert.equal(await soon, false);
  const stopped = stalls(clock, 1000, stop.signal, () => ({ staged: 0, upBytes: 0 }));
  stop.abort();
  assert.equal(await stopped, false);
  assert.equal(clock.sleeping, 0);
});
