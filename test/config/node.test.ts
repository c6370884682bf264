// Node names in HAST's order, and what matches them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import { matchesNode, nodeNames } from '../../src/config/node.js';
import { load } from './material.js';

const MACHINE = '0123456789abcdef0123456789ABCDEF';
const facts = { hostname: 'hosta.example.org', machineId: MACHINE, hostId: 0xfeedbeef };

test('full name, short name, machine id, hostid and its unsigned decimal', () => {
  const names = ['hosta.example.org', 'hosta', MACHINE, 'hostid4276993775'];
  assert.deepEqual(nodeNames(null, facts), names);
  assert.deepEqual(nodeNames('', facts), names, 'an empty HAST_NODE is none');
  const negative = { ...facts, hostId: 0xfeedbeef | 0 };
  assert.deepEqual(nodeNames(null, negative), names, 'gethostid(3) is signed');
});

test('what is not known is not a name, and none is there twice', () => {
  assert.deepEqual(nodeNames(null, { hostname: 'x', machineId: null, hostId: null }), ['x']);
  assert.deepEqual(nodeNames(null, { hostname: '', machineId: ' \n', hostId: 0 }), ['hostid0']);
  const withLineEnd = { hostname: 'x', machineId: `${MACHINE}\n`, hostId: null };
  assert.deepEqual(nodeNames(null, withLineEnd), ['x', MACHINE]);
});

test('an override is the only name', () => {
  assert.deepEqual(nodeNames('b', facts), ['b']);
});

test('names match exactly, a machine id in any case', () => {
  const names = nodeNames(null, facts);
  for (const written of [...names, MACHINE.toUpperCase(), MACHINE.toLowerCase()]) {
    assert.equal(matchesNode(written, names), true, written);
  }
  for (const written of [
    'HOSTA',
    'hosta.example',
    'example.org',
    'hostid1',
    MACHINE.slice(1),
    '',
  ]) {
    assert.equal(matchesNode(written, names), false, written);
  }
});

test('a file finds its block by any of the names', () => {
  const file = (name: string): string =>
    `resource vm1 { on other { remote none local /x } on ${name} { local /mine remote none } }`;
  const names = nodeNames(null, facts);
  for (const name of names) {
    const result = load(file(name), name);
    assert.equal(result.settings?.node, name);
    assert.equal(result.settings.resources[0]?.local, '/mine');
    assert.equal(result.settings.resources[0]?.targets[0]?.name, 'other');
  }
});

test('top-level blocks of both names of this node are read, in file order', () => {
  const names = nodeNames(null, facts);
  const top = 'on hosta { statedir /s pidfile /p } on hosta.example.org { pidfile /q }';
  const { settings } = loadConfig(`${top} on b { statedir /b }`, 'f', { names });
  assert.deepEqual([settings?.statedir, settings?.pidfile], ['/s', '/q']);
});

test('resources must call this node by one name: two would be two peers', () => {
  const names = nodeNames(null, facts);
  const one = (name: string): string =>
    `resource r${name} { on ${name} { local /${name} remote none } }`;
  const text = `${one('hosta')}\n${one('hosta.example.org')}`;
  const { settings, findings } = loadConfig(text, 'f', { names });
  assert.equal(settings, null);
  assert.equal(findings.length, 1);
  assert.match(
    findings[0]?.text ?? '',
    /line 1 calls this node hosta and this one hosta.example.org/,
  );
});
