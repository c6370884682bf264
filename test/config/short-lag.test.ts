// A max-lag that rounds in time reach is noted, once for each line that sets one; it stops nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import { load, said, twoNodes } from './material.js';

const HOUR = 3600;

test('max-lag and interval', () => {
  const notes = (text: string): readonly string[] => said(load(text));
  assert.deepEqual(notes(twoNodes('interval 1h max-lag 2h')), []);
  assert.deepEqual(notes(twoNodes('interval 1h max-lag none')), []);
  assert.deepEqual(notes(twoNodes('interval 31d')), [], 'the default follows');
  for (const lag of ['30m', '1h']) {
    const [note, ...more] = notes(twoNodes('', `interval 1h\nmax-lag ${lag}`));
    assert.match(note ?? '', /^3:9: max-lag: note: .* than the 1h .* two rounds to b: /);
    assert.deepEqual(more, []);
  }
  assert.ok(load(twoNodes('interval 1h max-lag 30m')).settings);
});

test('max-lag and schedule: the longest time between two firings counts', () => {
  const text = twoNodes('schedule "0 2 * * 1-5" max-lag 26h');
  const gap = (hours: number) =>
    loadConfig(
      text,
      'f',
      { names: ['a'] },
      () => null,
      () => hours * HOUR,
    ).findings;
  assert.equal(gap(72).length, 1);
  assert.match(gap(72)[0]?.text ?? '', /26h is not more than the 3d/);
  assert.deepEqual(gap(24), []);
});

test('one line for all resources is noted once', () => {
  const resource = (name: string, port: number): string =>
    `resource ${name} { on a { local /srv/${name} remote tcp://127.0.0.1:${port} }\n` +
    ` on b { local /srv/${name} remote tcp://127.0.0.1:1 } }\n`;
  const text = `listen tcp://127.0.0.1\nmax-lag 5m\n${resource('v', 2)}${resource('w', 3)}`;
  assert.equal(said(load(text)).filter((line) => line.startsWith('2:9: max-lag')).length, 1);
});
