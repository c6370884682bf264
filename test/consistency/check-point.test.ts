// The checker has teeth: on small histories written by hand it finds one stale block, one swapped
// sector, one block of the future, one missing answered write, one zeroed region, one pair out of
// order. On generated histories: check-point-histories.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockLog, type OperationRecord } from './block-log.js';
import { type CutWindow, checkImage } from './check-point.js';
import { BLOCK, baseImage, kinds, newLog, put, SIZE } from './small-log.js';

const NEVER = Number.POSITIVE_INFINITY;

/** A clean story: block b is written at 10 (answered 20) and again at 30 (answered 40). */
function twoVersions() {
  const { log, time } = newLog();
  const at = (stamp: number) => {
    time.now = stamp;
  };
  at(10);
  const first = log.write(0, log.blocks);
  at(20);
  log.answered(first);
  at(30);
  const second = log.write(0, log.blocks);
  at(40);
  log.answered(second);
  const image = (version: OperationRecord | null) => {
    const made = baseImage(log);
    for (let block = 0; block < log.blocks; block += 1) put(made, log, block, version);
    return made;
  };
  return { log, at, first, second, image };
}

test('base, first and second version are legal exactly while they may stand', async () => {
  const { log, first, second, image } = twoVersions();
  const verdict = async (shown: OperationRecord | null, beganAt: number, endedAt: number) =>
    new Set((await checkImage(image(shown), log, { beganAt, endedAt })).map((one) => one.kind));
  const fine = new Set<string>();
  assert.deepEqual(await verdict(null, 5, 6), fine);
  assert.deepEqual(await verdict(null, 15, 16), fine, 'the first is under way');
  assert.deepEqual(await verdict(null, 21, 22), new Set(['missing']));
  assert.deepEqual(await verdict(first, 5, 9), new Set(['future']));
  assert.deepEqual(await verdict(first, 5, 10), fine);
  assert.deepEqual(await verdict(first, 25, 26), fine);
  assert.deepEqual(await verdict(first, 40, 50), fine, 'answered at 40: not before the cut');
  assert.deepEqual(await verdict(first, 41, 50), new Set(['missing']));
  assert.deepEqual(await verdict(second, 20, 29), new Set(['future']));
  assert.deepEqual(await verdict(second, 35, 36), fine);
  assert.deepEqual(await verdict(second, 50, NEVER), fine);
});

test('one stale block among good ones is found and named', async () => {
  const { log, first, second, image } = twoVersions();
  const bad = image(second);
  put(bad, log, 3, first);
  const found = await checkImage(bad, log, { beganAt: 50, endedAt: 60 });
  assert.equal(kinds(found), 'missing');
  assert.equal(found[0]?.block, 3);
  assert.match(found[0]?.text ?? '', /block 3 shows version 0:1 .*lacks version 0:2 .*answered 40/);
});

test('one block of the future is found', async () => {
  const { log, first, second, image } = twoVersions();
  const bad = image(first);
  put(bad, log, 6, second);
  const found = await checkImage(bad, log, { beganAt: 25, endedAt: 28 });
  assert.deepEqual([kinds(found), found[0]?.block], ['future', 6]);
});

test('one swapped sector is found, whichever it is', async () => {
  const { log, first, second, image } = twoVersions();
  for (let sector = 0; sector < 8; sector += 1) {
    const bad = image(second);
    const at = 2 * BLOCK + sector * 512;
    bad.set(image(first).subarray(at, at + 512), at);
    assert.equal(kinds(await checkImage(bad, log, { beganAt: 50, endedAt: 60 })), 'torn');
    bad.fill(0, at, at + 512);
    assert.equal(kinds(await checkImage(bad, log, { beganAt: 50, endedAt: 60 })), 'torn');
  }
});

test('zeroes, foreign bytes and blocks of another place are found', async () => {
  const { log, second, image } = twoVersions();
  const verdict = async (change: (image: Uint8Array) => void) => {
    const bad = image(second);
    change(bad);
    return kinds(await checkImage(bad, log, { beganAt: 50, endedAt: 60 }));
  };
  // Blocks 0 and 1 have a base that is not zero; 2 was zero once, but that is long overwritten.
  assert.equal(await verdict((bad) => bad.fill(0, 0, 2 * BLOCK)), 'zeroed zeroed');
  assert.equal(await verdict((bad) => bad.fill(0, 2 * BLOCK, 3 * BLOCK)), 'missing');
  assert.equal(await verdict((bad) => bad.fill(9, 4 * BLOCK, 5 * BLOCK)), 'alien');
  assert.equal(await verdict((bad) => bad.copyWithin(BLOCK, 0, BLOCK)), 'misplaced');
});

test('a block that nobody wrote must be the base', async () => {
  const { log } = newLog();
  const image = baseImage(log);
  assert.deepEqual(await checkImage(image, log, { beganAt: 0, endedAt: NEVER }), []);
  image[BLOCK + 7] = 1;
  image[5 * BLOCK + 7] = 1;
  const found = await checkImage(image, log, { beganAt: 0, endedAt: NEVER });
  assert.equal(kinds(found), 'alien alien');
});

test('order: who waited for A before issuing B cannot have B without A', async () => {
  const { log, time } = newLog();
  time.now = 10;
  const a = log.write(2, 1);
  time.now = 20;
  log.answered(a);
  time.now = 30;
  const b = log.write(4, 1);
  const image = baseImage(log);
  put(image, log, 4, b);
  const cut: CutWindow = { beganAt: 5, endedAt: 100 };
  const found = await checkImage(image, log, cut);
  assert.equal(kinds(found), 'order');
  assert.match(found[0]?.text ?? '', /block 4 shows version 0:2/);
  assert.match(found[0]?.text ?? '', /lacks version 0:1/);
  assert.deepEqual(await checkImage(image, log, cut, { oneInstant: false }), []);
  put(image, log, 2, a);
  assert.deepEqual(await checkImage(image, log, cut), []);
});

test('two writes under way together may stand in any order', async () => {
  const { log, time } = newLog();
  time.now = 10;
  const [a, b] = [log.write(3, 1, 1), log.write(3, 1, 2)];
  time.now = 20;
  log.answered(a);
  log.answered(b);
  for (const last of [a, b]) {
    const image = baseImage(log);
    put(image, log, 3, last);
    assert.deepEqual(await checkImage(image, log, { beganAt: 30, endedAt: 40 }), []);
  }
});

test('TRIM leaves the old content or zeroes, WRITE_ZEROES only zeroes', async () => {
  for (const kind of ['trim', 'zero'] as const) {
    const { log, time } = newLog();
    time.now = 10;
    const write = log.write(0, 2);
    time.now = 20;
    log.answered(write);
    time.now = 30;
    const gone = log[kind](0, 2);
    time.now = 40;
    log.answered(gone);
    const verdict = async (shown: OperationRecord, beganAt: number) => {
      const image = baseImage(log);
      for (const block of [0, 1]) put(image, log, block, shown);
      return kinds(await checkImage(image, log, { beganAt, endedAt: beganAt + 1 }));
    };
    assert.equal(await verdict(gone, 50), '');
    assert.equal(await verdict(gone, 25), 'future future');
    assert.equal(await verdict(write, 50), kind === 'trim' ? '' : 'missing missing');
  }
});

test('identical content written again is not taken for the old', async () => {
  const { log, at, first, image } = twoVersions();
  at(60);
  const again = log.rewrite(first);
  at(70);
  log.answered(again);
  assert.deepEqual(await checkImage(image(again), log, { beganAt: 80, endedAt: 90 }), []);
  const between = await checkImage(image(again), log, { beganAt: 45, endedAt: 55 });
  assert.ok(between.length > 0 && between.every((one) => one.kind !== 'torn'));
});

test('what was never answered may be there or not, until its connection has ended', async () => {
  const { log, time } = newLog();
  time.now = 10;
  const open = log.write(2, 1, 1);
  time.now = 20;
  log.disconnected(1);
  time.now = 30;
  const later = log.write(2, 1, 2);
  time.now = 40;
  log.answered(later);
  const verdict = async (shown: OperationRecord | null, beganAt: number) => {
    const image = baseImage(log);
    put(image, log, 2, shown);
    return kinds(await checkImage(image, log, { beganAt, endedAt: beganAt + 1 }));
  };
  assert.equal(await verdict(open, 25), '');
  assert.equal(await verdict(null, 25), '');
  assert.equal(await verdict(later, 50), '');
  assert.equal(await verdict(open, 50), 'missing', 'it cannot have come after its connection');
});

test('logs of several processes are one log', async () => {
  const { log, first, second, image } = twoVersions();
  const merged = new BlockLog({ sizeBytes: SIZE, seed: 5, base: (block) => log.baseOf(block) });
  // Structured clones, as a message between processes carries them (infinity survives in them).
  for (const record of structuredClone(log.records())) merged.add(record);
  const cut = { beganAt: 50, endedAt: 60 };
  assert.deepEqual(await checkImage(image(second), merged, cut), []);
  const found = await checkImage(image(first), merged, cut);
  assert.equal(kinds(found), Array(7).fill('missing').join(' '));
});

test('a disk that grows: its short last block, and the size of each image', async () => {
  const { log, time } = newLog();
  const at = (stamp: number): void => {
    time.now = stamp;
  };
  at(10);
  const short = log.write(6, 1);
  at(20);
  log.answered(short);
  at(30);
  log.grow(9 * BLOCK + 1024);
  assert.deepEqual([log.blocks, log.lengthOf(6), log.lengthOf(9)], [10, BLOCK, 1024]);
  assert.equal(log.bytesOf(short).length, 512, 'what was written does not grow');
  const image = baseImage(log);
  const show = (from: OperationRecord): void => {
    image.fill(0, 6 * BLOCK, 7 * BLOCK);
    image.set(log.blockOf(from, 6), 6 * BLOCK);
  };
  const verdict = async (cut: CutWindow, sizeBytes = log.sizeBytes) =>
    kinds(await checkImage(image.subarray(0, sizeBytes), log, cut, { sizeBytes }));
  show(short);
  assert.equal(await verdict({ beganAt: 25, endedAt: 26 }, SIZE), '');
  assert.equal(await verdict({ beganAt: 40, endedAt: 41 }), '');
  assert.equal(await verdict({ beganAt: 5, endedAt: 9 }), 'future');
  image[7 * BLOCK - 1] = 1;
  assert.notEqual(
    await verdict({ beganAt: 40, endedAt: 41 }),
    '',
    'nobody wrote behind the old end',
  );
  at(50);
  const whole = log.rewrite(short);
  const far = log.write(8, 2);
  at(60);
  for (const one of [whole, far]) log.answered(one);
  show(short);
  assert.equal(await verdict({ beganAt: 70, endedAt: 71 }), 'missing missing missing');
  show(whole);
  image.set(log.bytesOf(far), 8 * BLOCK);
  assert.equal(await verdict({ beganAt: 70, endedAt: 71 }), '');
  assert.equal(await verdict({ beganAt: 40, endedAt: 41 }), 'future future future');
});

test('an image of more than a piece, and a limit to what is told', async () => {
  const { log, time } = newLog(3 * 1024 * 1024 + 512);
  time.now = 10;
  const all = log.write(0, log.blocks);
  time.now = 20;
  log.answered(all);
  const image = log.bytesOf(all);
  const cut = { beganAt: 30, endedAt: 40 };
  assert.deepEqual(await checkImage(image, log, cut), []);
  const found = await checkImage(baseImage(log), log, cut, { violationsMax: 3 });
  assert.equal(kinds(found), 'missing missing missing');
});
