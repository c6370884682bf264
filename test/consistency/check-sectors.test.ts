// What a power failure may leave, and what not: sectors of any content that nothing durable has
// overwritten, each for itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkSectors } from './check-sectors.js';
import { BLOCK, baseImage, newLog, put } from './small-log.js';

/** Block 0 over its base: written and flushed, then twice more, the last time unanswered. */
function history() {
  const { log, time } = newLog();
  const issue = (now: number) => {
    time.now = now;
    return log.write(0, 1);
  };
  const first = issue(10);
  time.now = 20;
  log.answered(first);
  const flushedAt = 30;
  const second = issue(40);
  time.now = 50;
  log.answered(second);
  const third = issue(60);
  const image = baseImage(log);
  const sectorOf = (sector: number, bytes: Uint8Array): void => {
    image.set(bytes.subarray(sector * 512, sector * 512 + 512), sector * 512);
  };
  return { log, flushedAt, image, sectorOf, first, second, third };
}

test('any mixture of the flushed content and later ones is right', () => {
  const { log, flushedAt, image, sectorOf, first, second, third } = history();
  put(image, log, 0, first);
  sectorOf(1, log.blockOf(second, 0));
  sectorOf(6, log.blockOf(third, 0));
  assert.deepEqual(checkSectors(image, log, { flushedAt, fua: new Set() }), []);
});

test('one sector of what was overwritten by something flushed is missing it', () => {
  const { log, flushedAt, image, sectorOf, first } = history();
  put(image, log, 0, first);
  sectorOf(5, new Uint8Array(BLOCK).fill(0xb0)); // the base
  const found = checkSectors(image, log, { flushedAt, fua: new Set() });
  assert.deepEqual(found, [{ block: 0, sector: 5, kind: 'missing' }]);
  assert.deepEqual(checkSectors(image, log, { flushedAt: 15, fua: new Set() }), []);
});

test('a sector may begin with one content that may be there and end with another', () => {
  const { log, flushedAt, image, sectorOf, first, second, third } = history();
  const base = new Uint8Array(BLOCK).fill(0xb0);
  const mixed = (...parts: readonly [bytes: Uint8Array, end: number][]): void => {
    const bytes = new Uint8Array(BLOCK);
    let from = 0;
    for (const [content, end] of parts) {
      bytes.set(content.subarray(5 * 512 + from, 5 * 512 + end), 5 * 512 + from);
      from = end;
    }
    sectorOf(5, bytes);
  };
  const [one, two, three] = [first, second, third].map((each) => log.blockOf(each, 0));
  assert.ok(one && two && three);
  const found = () => checkSectors(image, log, { flushedAt, fua: new Set() });
  const alien = [{ block: 0, sector: 5, kind: 'alien' }];
  put(image, log, 0, first);
  for (const end of [1, 200, 511]) {
    mixed([one, end], [two, 512]);
    assert.deepEqual(found(), [], `${end} bytes of the older`);
    mixed([three, end], [one, 512]);
    assert.deepEqual(found(), [], `${end} bytes of the newer`);
  }
  mixed([base, 200], [two, 512]);
  assert.deepEqual(found(), alien, 'a part of what was overwritten by something flushed');
  mixed([one, 100], [two, 300], [three, 512]);
  assert.deepEqual(found(), alien, 'of three');
  mixed([two, 200], [one, 300], [two, 512]);
  assert.deepEqual(found(), alien, 'another in the middle');
});

test('what was answered with FUA is there without a flush', () => {
  const { log, flushedAt, image, sectorOf, first, second } = history();
  put(image, log, 0, second);
  sectorOf(7, log.blockOf(first, 0));
  assert.deepEqual(checkSectors(image, log, { flushedAt, fua: new Set() }), []);
  const found = checkSectors(image, log, { flushedAt, fua: new Set([second]) });
  assert.deepEqual(found, [{ block: 0, sector: 7, kind: 'missing' }]);
});

test('content of nobody is alien, also in a place that was not written', () => {
  const { log, flushedAt, image, second } = history();
  put(image, log, 0, second);
  image[1000] = (image[1000] ?? 0) ^ 1;
  image[3 * BLOCK] = 1;
  assert.deepEqual(checkSectors(image, log, { flushedAt, fua: new Set() }), [
    { block: 0, sector: 1, kind: 'alien' },
    { block: 3, sector: 0, kind: 'alien' },
  ]);
});
