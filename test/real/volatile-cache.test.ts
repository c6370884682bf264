// The volatile cache itself: what it shows, what survives its cut, and that its cuts are not all
// the same; else the power tests would prove less than they say.
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { scratch } from '../real.js';
import { VolatileCache } from './volatile-cache.js';

const SECTOR = 512;
const SECTORS = 64;
const CUTS = 200;

const filled = (value: number, sectors: number): Buffer => Buffer.alloc(sectors * SECTOR, value);

test('it shows what was written last, and the image has it after a flush', (t) => {
  const path = join(scratch(t), 'image');
  writeFileSync(path, filled(1, SECTORS));
  const fd = openSync(path, 'r+');
  t.after(() => closeSync(fd));
  const cache = new VolatileCache(fd);
  cache.write(SECTOR, filled(2, 3));
  cache.write(2 * SECTOR, filled(3, 1));
  const shown = Buffer.alloc(5 * SECTOR);
  cache.read(0, shown);
  assert.deepEqual(sectorsOf(shown), [1, 2, 3, 2, 1]);
  assert.deepEqual(sectorsOf(readFileSync(path)).slice(0, 5), [1, 1, 1, 1, 1]);
  cache.writeThrough(3 * SECTOR, filled(4, 1));
  assert.deepEqual(sectorsOf(readFileSync(path)).slice(0, 5), [1, 1, 1, 4, 1]);
  cache.flush();
  assert.deepEqual(sectorsOf(readFileSync(path)).slice(0, 5), [1, 2, 3, 4, 1]);
});

test('a cut leaves any part of what was not flushed, and all that was', (t) => {
  const path = join(scratch(t), 'image');
  let [none, all, holes, older] = [0, 0, 0, 0];
  for (let seed = 1; seed <= CUTS; seed += 1) {
    writeFileSync(path, filled(1, SECTORS));
    const fd = openSync(path, 'r+');
    const cache = new VolatileCache(fd);
    cache.write(0, filled(2, SECTORS));
    cache.flush();
    cache.write(0, filled(3, SECTORS / 2));
    cache.write(0, filled(4, SECTORS / 2));
    const report = cache.cut(seededRandom(seed));
    closeSync(fd);
    const left = sectorsOf(readFileSync(path));
    assert.deepEqual(left.slice(SECTORS / 2), new Array<number>(SECTORS / 2).fill(2));
    const survived = left.filter((value) => value > 2).length;
    assert.deepEqual(report, { unflushed: SECTORS / 2, survived });
    assert.ok(left.every((value) => value >= 2 && value <= 4));
    if (survived === 0) none += 1;
    if (survived === SECTORS / 2) all += 1;
    if (left.indexOf(2) < left.findLastIndex((value) => value > 2)) holes += 1;
    if (left.includes(3)) older += 1;
  }
  t.diagnostic(`${CUTS} cuts: nothing ${none}, all ${all}, no prefix ${holes}, older ${older}`);
  for (const times of [none, all, holes, older]) assert.ok(times > CUTS / 20);
});

/** The value that fills each sector; -1 where it is torn. */
function sectorsOf(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / SECTOR }, (_, sector) => {
    const one = bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR);
    const [value = -1] = one;
    return one.every((byte) => byte === value) ? value : -1;
  });
}
