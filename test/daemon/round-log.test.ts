// The list of rounds kept over restarts: newest last, bounded, damaged lines left out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RoundRecord } from '../../src/control/api.js';
import { ROUNDS_KEPT_MAX, RoundLog, readRecords } from '../../src/daemon/round-log.js';
import { CrashWorld } from '../world/memory-files.js';

const PATH = '/state/rounds.jsonl';

const record = (point: number): RoundRecord => ({
  id: String(point).padStart(32, '0'),
  target: 'b',
  point,
  outcome: 'committed',
  cutTime: '2026-11-20T02:00:00.000Z',
  seconds: 1.5,
  dirtyBytes: 4096,
  readBytes: 65_536,
  skippedBytes: 0,
  sentBytes: 4096,
  wireUpBytes: 900,
  wireDownBytes: 60,
  guestBytes: 8192,
  resentBytes: 0,
  reusedBytes: 0,
  driftChunks: 0,
  damagedChunks: 0,
  error: null,
});

async function world(): Promise<CrashWorld> {
  const files = new CrashWorld();
  await files.makeDirectory('/state');
  return files;
}

test('what was added is there after a restart, newest last', async () => {
  const files = await world();
  const log = await RoundLog.open(files, PATH);
  await log.add(record(1));
  await log.add(record(2));
  await log.close();
  assert.deepEqual(await readRecords(files, PATH), [record(1), record(2)]);
  const again = await RoundLog.open(files, PATH);
  await again.add(record(3));
  assert.deepEqual(
    again.records.map(({ point }) => point),
    [1, 2, 3],
  );
});

test('a line that is JSON but no record is left out', async () => {
  const files = await world();
  const [good, bad] = [record(1), { ...record(2), seconds: '1.5' }];
  const { wireUpBytes: _, ...less } = record(3);
  const lines = [good, bad, less, { id: 'x' }, null, []].map((one) => JSON.stringify(one));
  files.plant(PATH, Buffer.from(`${lines.join('\n')}\n`));
  assert.deepEqual(await readRecords(files, PATH), [good]);
});

test('a line cut off by a crash is left out, the others stay', async () => {
  const files = await world();
  const whole = `${JSON.stringify(record(1))}\n`;
  files.plant(PATH, Buffer.from(`${whole}${JSON.stringify(record(2)).slice(0, 40)}`));
  assert.deepEqual(await readRecords(files, PATH), [record(1)]);
  const log = await RoundLog.open(files, PATH);
  await log.add(record(3));
  await log.add(record(4));
  assert.deepEqual(await readRecords(files, PATH), [record(1), record(3), record(4)]);
});

test('an absent file is an empty list', async () => {
  assert.deepEqual(await readRecords(await world(), PATH), []);
});

test('only the newest are kept', async () => {
  const log = await RoundLog.open(await world(), PATH);
  for (let point = 1; point <= ROUNDS_KEPT_MAX + 5; point += 1) await log.add(record(point));
  assert.equal(log.records.length, ROUNDS_KEPT_MAX);
  assert.equal(log.records[0]?.point, 6);
});

const points = (records: readonly RoundRecord[]) => records.map(({ point }) => point);
const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at);

test('the file is bounded while the role lasts, and the newest thousand survive it', async () => {
  const files = await world();
  const log = await RoundLog.open(files, PATH);
  const last = 3 * ROUNDS_KEPT_MAX + 7;
  let most = 0;
  for (let point = 1; point <= last; point += 1) {
    await log.add(record(point));
    most = Math.max(most, (await sizeOf(files)) / JSON.stringify(record(1)).length);
  }
  assert.ok(most <= 2.1 * ROUNDS_KEPT_MAX, `${most} records at most`);
  await log.close();
  const kept = numbers(last - ROUNDS_KEPT_MAX + 1, last);
  assert.deepEqual(points(await readRecords(files, PATH)), kept);
  assert.deepEqual(points((await RoundLog.open(files, PATH)).records), kept);
});

test('rounds that end while it is written anew are all there, once', async () => {
  const files = await world();
  const log = await RoundLog.open(files, PATH);
  const last = 2 * ROUNDS_KEPT_MAX + 20;
  await Promise.all(numbers(1, last).map((point) => log.add(record(point))));
  const kept = numbers(last - ROUNDS_KEPT_MAX + 1, last);
  assert.deepEqual(points(await readRecords(files, PATH)), kept);
});

test('a file that is too large is read from its end, and is not emptied by an open', async () => {
  const files = await world();
  const wide = (point: number) => ({ ...record(point), error: 'x'.repeat(100_000) });
  const lines = numbers(1, 200).map((point) => `${JSON.stringify(wide(point))}\n`);
  files.plant(PATH, Buffer.from(lines.join('')));
  const found = points(await readRecords(files, PATH));
  assert.ok(found.length > 150 && found.at(-1) === 200, `${found.length} were found`);
  const log = await RoundLog.open(files, PATH);
  assert.equal(await sizeOf(files), lines.join('').length);
  assert.deepEqual(points(log.records), found);
  await log.add(record(201));
  assert.ok((await sizeOf(files)) < lines.join('').length, 'and becomes smaller');
  assert.deepEqual(points(await readRecords(files, PATH)), [...found, 201]);
});

test('no room for it costs the list nothing that it had', async () => {
  const files = await world();
  const log = await RoundLog.open(files, PATH);
  for (const point of numbers(1, 2 * ROUNDS_KEPT_MAX)) await log.add(record(point));
  files.failNext({ operation: 'create', path: `${PATH}.new` }, 'ENOSPC');
  await assert.rejects(log.add(record(2001)), /ENOSPC/);
  assert.equal(points(await readRecords(files, PATH)).at(-1), 2000);
  await log.add(record(2002));
  assert.deepEqual(points(await readRecords(files, PATH)).slice(-3), [2000, 2001, 2002]);
});

async function sizeOf(files: CrashWorld): Promise<number> {
  const handle = await files.open(PATH, 'read');
  try {
    return await handle.size();
  } finally {
    await handle.close();
  }
}
