import test from 'node:test';
import { startPair } from './nodes.js';

test('smoke', async (t) => {
  const { a, b } = await startPair(t, { sizeBytes: 16 * 1024 * 1024 + 512, hastdArgs: ['-d'] });
  console.log(await a.ctl('status'));
  console.log(await a.ctl('sync', 'vm1', '--wait'));
  console.log(JSON.stringify(await a.ask('rounds', 'vm1')));
  console.log(await a.ctl('sync', 'vm1', '--wait'));
  console.log(await b.ctl('points', 'vm1'));
  console.log(await a.ctl('verify', 'vm1', '--deep'));
  console.log(await a.kill('SIGTERM'), await b.kill('SIGTERM'));
  console.log(a.log(), b.log());
});
