// What a sync has ahead of it, whoever wrote it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSyncMemory, SyncLedger } from '../../src/disk/sync-ledger.js';

test('a sync has to write what every thread wrote, once', () => {
  const memory = newSyncMemory();
  const [one, other] = [new SyncLedger(memory), new SyncLedger(memory)];
  one.wrote(1);
  other.wrote(8192);
  assert.deepEqual(other.begin(), { dirtyBytes: 12_288, alone: true });
  one.wrote(4096);
  other.end();
  assert.deepEqual(one.begin(), { dirtyBytes: 4096, alone: true });
  one.end();
  assert.deepEqual(one.begin(), { dirtyBytes: 0, alone: true });
});

test('a sync of another thread is under way', () => {
  const memory = newSyncMemory();
  const [one, other] = [new SyncLedger(memory), new SyncLedger(memory)];
  one.wrote(2 ** 32);
  assert.equal(one.begin().dirtyBytes, 2 ** 32);
  assert.deepEqual(other.begin(), { dirtyBytes: 0, alone: false });
  one.end();
  other.end();
  assert.equal(other.begin().alone, true);
});
