// Bit rot in files that no crash world has: the key, hast.conf, the list of rounds, the lock. What
// is not what it was is named, or does no harm; a key that became another one opens no link.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { describeError } from '../../src/base/errors.js';
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import { renderRounds } from '../../src/cli/render-tables.js';
import { formatFinding } from '../../src/config/finding.js';
import type { RoundRecord } from '../../src/control/api.js';
import { RoundLog, readRecords } from '../../src/daemon/round-log.js';
import { takeStateDirectory } from '../../src/daemon/state-directory.js';
import { parseSecret } from '../../src/net/psk.js';
import { load, projectFile } from '../config/material.js';
import { scratch } from '../real.js';
import { CrashWorld } from '../world/memory-files.js';
import { damageOf } from './damage.js';
import { DAMAGES, seedFromEnv } from './trial.js';

/** Calls `each` with the damaged forms of `bytes`; what it returns is counted and printed. */
async function damaged(
  t: TestContext,
  bytes: Uint8Array,
  each: (bytes: Uint8Array, random: Random) => string | Promise<string>,
): Promise<void> {
  const seed = seedFromEnv();
  const found = new Map<string, number>();
  for (let trial = 0; trial < DAMAGES; trial += 1) {
    const random = seededRandom(seed + trial);
    const damage = damageOf(bytes, [], random);
    const stands = damage?.bytes ?? null;
    // An absent file is said by its reader's own tests.
    const what = stands === null ? 'absent or as before' : await each(stands, random);
    found.set(what, (found.get(what) ?? 0) + 1);
  }
  t.diagnostic(`HAST_SEED=${seed} ${JSON.stringify(Object.fromEntries(found))}`);
}

test('a key: malformed and named, or the same, or another that opens nothing', async (t) => {
  const secret = seededRandom(3).bytes(32);
  await damaged(t, Buffer.from(`${hex(secret)}\n`), (bytes) => {
    const text = Buffer.from(bytes).toString('latin1');
    try {
      const read = parseSecret(text, '/etc/hast.key');
      // TLS with another key fails at its handshake: test/net/connect.test.ts.
      return hex(read) === hex(secret) ? 'the same' : 'another key';
    } catch (error) {
      assert.match(describeError(error), /^\/etc\/hast\.key/);
      return 'named';
    }
  });
});

test('hast.conf: each error has file, line and column; what is valid is an edit', async (t) => {
  const text = projectFile('config/quickstart.conf');
  const settings = JSON.stringify(load(text).settings);
  await damaged(t, Buffer.from(text), (bytes) => {
    const result = load(Buffer.from(bytes).toString('utf8'));
    const errors = result.findings.filter(({ level }) => level === 'error');
    if (result.settings !== null) {
      return JSON.stringify(result.settings) === settings ? 'the same' : 'another valid text';
    }
    assert.ok(errors.length > 0, 'it is said why there are no settings');
    for (const error of errors) assert.match(formatFinding(error), /^hast\.conf:\d+:\d+: /);
    return 'named';
  });
});

const record = (point: number): RoundRecord => ({
  ...{ id: String(point).padStart(32, '0'), target: 'b', point, outcome: 'committed' },
  ...{ cutTime: '2026-11-20T02:00:00.000Z', seconds: 1.5, dirtyBytes: 4096, readBytes: 65_536 },
  ...{ skippedBytes: 0, sentBytes: 4096, wireUpBytes: 900, wireDownBytes: 60, guestBytes: 8192 },
  ...{ resentBytes: 0, reusedBytes: 0, driftChunks: 0, damagedChunks: 0, error: null },
});

test('rounds.jsonl: a line that is no record is left out, the rest is shown', async (t) => {
  const whole = [1, 2, 3].map((point) => record(point));
  const text = whole.map((each) => `${JSON.stringify(each)}\n`).join('');
  await damaged(t, Buffer.from(text), async (bytes) => {
    const files = new CrashWorld();
    files.plant('/state/rounds.jsonl', bytes);
    const log = await RoundLog.open(files, '/state/rounds.jsonl');
    const found = log.records.length;
    assert.doesNotThrow(() => renderRounds('vm1', log.records));
    await log.add(record(4));
    await log.close();
    const again = await readRecords(files, '/state/rounds.jsonl');
    assert.deepEqual(again.at(-1), record(4), 'what is added later is there');
    return found === whole.length ? 'all lines' : 'left out';
  });
});

test('the lock: what stands in it is for a message only', (t) => {
  const folder = scratch(t);
  const random = seededRandom(seedFromEnv());
  for (let trial = 0; trial < DAMAGES; trial += 1) {
    writeFileSync(join(folder, 'lock'), random.bytes(random.below(64)));
    const release = takeStateDirectory(folder);
    assert.throws(() => takeStateDirectory(folder), /another hastd/);
    writeFileSync(join(folder, 'lock'), random.bytes(random.below(64)));
    assert.throws(() => takeStateDirectory(folder), /another hastd/);
    release();
  }
});
