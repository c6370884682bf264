// Frozen bytes of resource.json, of both roles, and of rounds.jsonl (STYLE 10). And the folder as a
// whole: no file of it changes, none is there that no test knows, none is missing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equalBytes } from '../../src/base/digest.js';
import type { RoundRecord } from '../../src/control/api.js';
import { RoundLog, readRecords } from '../../src/daemon/round-log.js';
import {
  decodeResourceState,
  encodeResourceState,
  type ResourceState,
} from '../../src/format/resource-state.js';
import { messageFiles } from '../peer/golden-messages.js';
import { CrashWorld } from '../world/memory-files.js';
import { frozen, frozenSums } from './frozen.js';
import { archiveFiles } from './golden-archives.js';
import { madeFiles } from './golden-files.js';
import { PRIMARY, SECONDARY } from './golden-states.js';
import { FROZEN_SUMS } from './golden-sums.js';

const STATES: readonly (readonly [name: string, state: ResourceState])[] = [
  ['resource-primary-v1.bin', PRIMARY],
  ['resource-secondary-v1.bin', SECONDARY],
];

for (const [name, state] of STATES) {
  test(`reads and writes a version 1 ${name.replace('-v1.bin', '')}`, () => {
    const made = encodeResourceState(state);
    const bytes = frozen(name, made);
    assert.deepEqual(decodeResourceState(bytes, 'golden'), state);
    assert.ok(equalBytes(made, bytes));
  });
}

/** Paths of fields that have content: neither null, false, 0 nor empty. */
function* used(value: unknown, path = ''): Generator<string> {
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) {
    if (value) yield path;
    return;
  }
  for (const [name, field] of Object.entries(value)) {
    const own = Array.isArray(value) || path === '/targets' ? '' : name;
    yield* used(field, `${path}/${own}`);
  }
}

test('together they have content in every field', () => {
  const both = new Set(STATES.flatMap(([, state]) => [...used(state)]));
  const all = (value: unknown): string[] => Object.keys(Object(value));
  const missing = [
    ...all(PRIMARY).map((name) => `/${name}`),
    ...all(PRIMARY.targets['b']).map((name) => `/targets//${name}`),
    ...all(SECONDARY.replica).map((name) => `/replica/${name}`),
    ...all(SECONDARY.replica.chain[0]).map((name) => `/replica/chain//${name}`),
  ].filter((path) => ![...both].some((one) => one === path || one.startsWith(`${path}/`)));
  assert.deepEqual(missing, []);
});

const COMMITTED: RoundRecord = {
  id: '0123456789abcdef'.repeat(2),
  target: 'b',
  point: 42,
  outcome: 'committed',
  cutTime: '2026-11-20T02:00:00.123Z',
  seconds: 65.5,
  dirtyBytes: 40_960,
  readBytes: 65_536,
  skippedBytes: 8192,
  sentBytes: 32_768,
  wireUpBytes: 12_001,
  wireDownBytes: 902,
  guestBytes: 104_858,
  resentBytes: 4003,
  reusedBytes: 16_384,
  driftChunks: 1,
  damagedChunks: 2,
  error: null,
};
const FAILED: RoundRecord = {
  ...COMMITTED,
  point: null,
  outcome: 'failed',
  cutTime: null,
  error: 'ROUND_DRIFT: b',
};

test('reads and writes a version 1 rounds.jsonl', async () => {
  const world = new CrashWorld();
  world.plant('/made', new Uint8Array(0));
  const log = await RoundLog.open(world, '/made');
  for (const record of [COMMITTED, FAILED]) await log.add(record);
  await log.close();
  const made = world.peek('/made') ?? new Uint8Array(0);
  const bytes = frozen('rounds-v1.bin', made);
  world.plant('/kept', bytes);
  assert.deepEqual(await readRecords(world, '/kept'), [COMMITTED, FAILED]);
  assert.ok(equalBytes(made, bytes));
});

test('no frozen file has changed, and each has its sum and its test', async () => {
  assert.deepEqual(frozenSums(), FROZEN_SUMS);
  const tested = [
    ...Object.keys(await madeFiles()),
    ...STATES.map(([name]) => name),
    'rounds-v1.bin',
    ...Object.keys(messageFiles()),
    ...Object.keys(archiveFiles()),
  ];
  assert.deepEqual(
    tested.sort(),
    FROZEN_SUMS.map(([name]) => name),
  );
});
