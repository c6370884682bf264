// H38: the replica may have been promoted and then have lost its state; it answers, but is no
// witness. A primary that crashed waits for an operator then.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MIB } from './images.js';
import { startPair } from './nodes.js';

test('a peer that has lost its state lets no crashed primary serve', async (t) => {
  const { a, b, folder } = await startPair(t, { sizeBytes: MIB });
  await a.ask('sync', 'vm1', '--wait');
  await a.kill('SIGKILL');
  await b.kill('SIGTERM');
  rmSync(join(folder, 'b', 'vm1'), { recursive: true });
  await b.hastd();
  await a.hastd();
  const resource = async () => (await a.control.status(['vm1'])).resources[0];
  const waits = await resource();
  assert.equal(waits?.role, 'init');
  assert.match(waits?.error ?? '', /b has lost what it knew of this resource/);
  const refused = await a.ctl('role', 'primary', 'vm1');
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /b has lost what it knew of this resource/);
  await a.ask('role', 'primary', '--alone', 'vm1');
  assert.equal((await resource())?.role, 'primary');
});
