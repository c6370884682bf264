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

test('a line cut off by a crash is left out, the others stay', async () => {
  const files = await world();
  const whole = `${JSON.stringify(record(1))}\n`;
  files.plant(PATH, Buffer.from(`${whole}${JSON.stringify(record(2)).slice(0, 40)}`));
  assert.deepEqual(await readRecords(files, PATH), [record(1)]);
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
