// The grammar: what parses as in HAST, and how reading goes on after an error.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FINDINGS_MAX } from '../../src/config/finding.js';
import { errorsOf, load, said, settingsOf, twoNodes } from './material.js';

const ok = 'resource vm1 { on a { local /srv/a.img remote none } }';

test('white space and line ends mean nothing', () => {
  const spread = ok.replaceAll(' ', '\n\t');
  const tight = 'resource vm1{on a{local /srv/a.img remote none}}';
  assert.deepEqual(settingsOf(spread), settingsOf(ok));
  assert.deepEqual(settingsOf(tight), settingsOf(ok));
});

test('an empty file, or one of comments, is right and has no resources', () => {
  for (const text of ['', '\n', '# nothing', '#']) {
    assert.deepEqual(settingsOf(text).resources, []);
  }
});

test('the new words may be names, as in files that were written before them', () => {
  const text = 'resource export { on spill { local /interval remote none } }';
  const settings = settingsOf(text, 'spill');
  assert.equal(settings.resources[0]?.name, 'export');
  const block = 'resource target { name target on rate { local /scrub remote none } }';
  assert.equal(settingsOf(block, 'rate').resources[0]?.exportName, 'target');
});

test('words of HAST are names in quotes only', () => {
  assert.match(errorsOf('resource remote { on a { local /x remote none } }')[0] ?? '', /in quotes/);
  const text = 'resource "remote" { on a { local /x remote none name "timeout" } }';
  assert.equal(settingsOf(text).resources[0]?.exportName, 'timeout');
});

test('digits alone are a name in quotes only', () => {
  assert.match(errorsOf('resource 1 { on a { local /x remote none } }')[0] ?? '', /write "1"/);
  assert.match(errorsOf('on 7 { }')[0] ?? '', /write "7"/);
  assert.equal(
    settingsOf('resource "1" { on a { local /x remote none } }').resources[0]?.name,
    '1',
  );
});

test('keywords and words of values are exact', () => {
  assert.match(errorsOf('Timeout 20')[0] ?? '', /Timeout: is not a setting; did you mean timeout/);
  assert.match(errorsOf('checksum SHA256')[0] ?? '', /did you mean sha256/);
  assert.deepEqual(errorsOf('checksum "sha256"'), [], 'quotes change nothing');
});

test('a mistyped setting is taken for the one that was meant', () => {
  const text = 'resource vm1 { on a { locl /srv/a.img remot none } }';
  const errors = errorsOf(text);
  assert.equal(errors.length, 2, 'not missing, too');
  assert.match(errors[0] ?? '', /^1:23: locl: is not a setting; did you mean local\?/);
});

test('a mistyped block is read as the one that was meant', () => {
  const errors = errorsOf('resorce vm1 { onn a { local x remote none } }');
  assert.deepEqual(
    errors.map((line) => line.split('; ')[0]),
    [
      '1:1: resorce: is not a block',
      '1:15: onn: is not a block',
      '1:29: local: x is not a full path: hastd has no working directory',
    ],
  );
});

test('an unknown block is skipped as a whole, however deep', () => {
  const errors = errorsOf(`volumes x { { } timeout 0 { } }\n${ok} timeout 0`);
  assert.deepEqual(errors, [
    '1:1: volumes: is not a block; see hast.conf(5)',
    '2:64: timeout: 0 is outside 1s..1d',
  ]);
});

test('the value of an unknown setting is skipped on its line, not beyond', () => {
  const errors = errorsOf(`bandwith 10 20 timeout 0\nwindowing\n${ok}`);
  assert.deepEqual(errors, [
    '1:1: bandwith: is not a setting; see hast.conf(5)',
    '1:24: timeout: 0 is outside 1s..1d',
    '2:1: windowing: is not a setting; see hast.conf(5)',
  ]);
  assert.match(errorsOf(`insecre on\n${ok}`).join('|'), /^1:1: insecre: [^|]*insecure\?$/);
  assert.match(errorsOf(`nonsense on a { }\n${ok}`).join('|'), /^1:1: nonsense: [^|]*$/);
});

test('a missing value does not eat the next statement', () => {
  const errors = errorsOf(`statedir\ntimeout 0\n${ok}`);
  assert.equal(errors.length, 2);
  assert.match(errors[0] ?? '', /^1:1: statedir: the value is missing/);
  assert.match(errorsOf(`insecure\non a { }\n${ok}`).join('|'), /^1:1: insecure: [^|]*$/);
  assert.match(errorsOf('secret\ninterval 5m').join('|'), /^1:1: secret: [^|]*$/);
  assert.match(
    errorsOf('timeout').join('|'),
    /^1:1: timeout: the value is missing; write timeout 20$/,
  );
});

test('a missing } is found where the next block begins', () => {
  const errors = errorsOf(`resource vm0 { on b { local /b remote none \n${ok}`);
  assert.deepEqual(
    errors.map((line) => line.slice(0, 12)),
    ['1:1: resourc', '2:1: resourc'],
    'no block for a; is a } missing',
  );
  const node = errorsOf('on a { statedir /x \n on b { statedir /y }');
  assert.match(node[0] ?? '', /^2:2: on: cannot stand in an on block at the top level/);
});

test('a typing error at a missing } is said once', () => {
  const errors = errorsOf('on a { \n onn b { }\n }');
  assert.equal(errors.filter((line) => line.includes('onn: is not')).length, 1, errors.join('\n'));
});

test('blocks without name or brace', () => {
  assert.match(errorsOf('resource { }')[0] ?? '', /the name is missing; write resource NAME/);
  assert.match(errorsOf('on a')[0] ?? '', /no \{ follows; write on a \{ \.\.\. \}/);
  assert.match(errorsOf('on')[0] ?? '', /the name is missing/);
  assert.match(errorsOf('{ timeout 0 }')[0] ?? '', /^1:1: file: \{ opens nothing/);
  assert.match(errorsOf('"timeout" 20')[0] ?? '', /^1:1: file: timeout is a value/);
});

test('settings twice in one scope: a note, and the last wins as in HAST', () => {
  const text = twoNodes('timeout 5 timeout 6', 'retain 1\nretain 2');
  assert.deepEqual(said(load(text)), [
    '1:39: timeout: note: overrides line 1 of the same scope',
    '3:1: retain: note: overrides line 2 of the same scope',
  ]);
  assert.equal(settingsOf(text).resources[0]?.timeoutSeconds, 6);
  assert.equal(settingsOf(text).resources[0]?.retain.last, 2);
});

test('a target block is met wherever it cannot stand, and a missing } before it', () => {
  const at = (text: string): string => errorsOf(text).join('|');
  assert.match(at(`target b { remote none }\n${ok}`), /^1:1: target: [^|]*into a resource$/);
  assert.match(at(`on a { target b { remote none } }\n${ok}`), /^1:8: target: [^|]*resource$/);
  const nested =
    'resource r { on a { local /x } target b { remote none\n target c { remote none } }';
  assert.equal(at(nested), '2:2: target: cannot stand in a target block; is a } missing above?');
  assert.match(
    at('resource r { on a { local\n target b { remote none } } }'),
    /^1:21: local: the v/,
  );
  assert.match(at('resource r { on a { local /x } target b }'), /write target b \{ \.\.\. \}/);
  assert.match(at('resource r { on a { local /x remote none } target { } }'), /write target NAME/);
});

test('several blocks of one node are one, with a note', () => {
  const text = `${twoNodes().slice(0, -3)} on a { local /srv/c.img } }`;
  assert.match(said(load(text)).join('|'), /^4:\d+: on: note: goes on with the block of line 3/);
  assert.equal(settingsOf(text).resources[0]?.local, '/srv/c.img');
});

test('a file of nothing but errors has a bounded answer that says so', () => {
  const lines = Array.from({ length: 5000 }, (_, i) => `nonsense${i} x`).join('\n');
  const { findings } = load(lines);
  assert.equal(findings.length, FINDINGS_MAX + 1);
  assert.match(findings.at(-1)?.text ?? '', /^4800 more findings are not shown/);
  assert.equal(findings.at(-1)?.level, 'error');
  const notes = load('timeout 5\n'.repeat(1000));
  assert.equal(notes.findings.at(-1)?.level, 'note', 'dropped notes are no error');
  assert.ok(notes.settings);
  const hidden = load(`${'timeout 5\n'.repeat(1000)}timeout 0`);
  assert.equal(hidden.settings, null);
  assert.ok(hidden.findings.some((finding) => finding.level === 'error'));
});
