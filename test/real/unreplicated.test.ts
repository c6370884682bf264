// A primary with `remote none`, as a script and a monitoring system see it: what is sent to nobody
// is no success, and never becomes a state to call good.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { makePair } from './nodes.js';

const COMMANDS = [
  ['sync'],
  ['sync', '--wait'],
  ['sync', '--dry-run'],
  ['verify'],
  ['verify', '--deep'],
  ['pause'],
  ['resume'],
  ['cancel'],
] as const;
const SET = ['set', 'vm1', 'rate', 'none'];

test('without a target every order about rounds is refused, and --check warns', async (t) => {
  const { a, config } = await makePair(t, { sizeBytes: 0 });
  const text = readFileSync(config, 'utf8');
  writeFileSync(config, text.replaceAll(/remote tcp:\S+/g, 'remote none'));
  await a.hastd();
  await a.ask('create', '-m', '16M', 'vm1');
  await a.ask('role', 'primary', 'vm1');
  for (const words of [...COMMANDS.map((each) => [...each, 'vm1']), SET]) {
    const { status, stdout, stderr } = await a.ctl(...words);
    assert.equal(status, 1, `${words.join(' ')}: ${stdout}`);
    assert.match(stderr, /vm1: no target with an address \(there is: none\)/, words.join(' '));
    assert.equal(stdout, '');
  }
  const check = await a.ctl('status', '--check');
  assert.equal(check.status, 1);
  assert.match(check.stdout, /^HAST WARNING - vm1 no-target: has no target with an address/);
});
