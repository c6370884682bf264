// A reload reaches a running secondary: the limit of its age is what the file says now.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { MIB } from './images.js';
import { startPair } from './nodes.js';

test('max-lag of a secondary is in force when the reload says so', async (t) => {
  const config = 'interval 1h  max-lag 90m';
  const { a, b, config: path } = await startPair(t, { sizeBytes: MIB, config });
  await a.ask('sync', 'vm1', '--wait');
  const limit = async (): Promise<number | null | undefined> =>
    (await b.control.status(['vm1'])).resources[0]?.targets[0]?.maxLagSeconds;
  assert.equal(await limit(), 5400);
  writeFileSync(path, readFileSync(path, 'utf8').replace('max-lag 90m', 'max-lag 5m'));
  const { stdout } = await b.ctl('reload');
  assert.match(stdout, /max-lag: 90m -> 5m \(in force\)/);
  assert.equal(await limit(), 300);
});
