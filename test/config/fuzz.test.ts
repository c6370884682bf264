// Any text: the loader answers with findings and never throws, in bounded time, and its answer
// keeps its promises (settings exactly when there is no error; places inside the file; sorted).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FINDINGS_MAX, formatFinding } from '../../src/config/finding.js';
import { KEYWORDS } from '../../src/config/keywords.js';
import { CONFIG_BYTES_MAX } from '../../src/config/load.js';
import type { ConfigResult } from '../../src/config/settings.js';
import { confFiles, load, projectFile, seeded } from './material.js';

const FILES = [
  'config/hast.conf.sample',
  'config/quickstart.conf',
  ...confFiles('config/examples'),
  ...confFiles('config/invalid'),
].map(projectFile);

const MESSAGE_CHARACTERS_MAX = 9000;
// Far above what it takes (some 100 ms each), below what a quadratic reader would take.
const WORST_MS_MAX = 10_000;

function keepsPromises(text: string, result: ConfigResult): void {
  const { findings, settings } = result;
  assert.equal(
    settings === null,
    findings.some((finding) => finding.level === 'error'),
  );
  assert.ok(findings.length <= FINDINGS_MAX + 1);
  const lines = text.split('\n');
  let last = 0;
  for (const finding of findings) {
    assert.ok(finding.line >= last, 'in file order');
    last = finding.line;
    const line = lines[finding.line - 1];
    assert.ok(line !== undefined && finding.column >= 1 && finding.column <= line.length + 1);
    const message = formatFinding(finding);
    assert.ok(message.length < MESSAGE_CHARACTERS_MAX, 'a message is for people');
    assert.ok(!message.includes('\n'));
  }
  for (const { origin } of result.origins) assert.match(origin, /^(default|hast\.conf:[1-9]\d*)$/);
}

const check = (text: string): void => keepsPromises(text, load(text));

test('random characters', (t) => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), check), seeded(t, 500));
});

test('random bytes read as UTF-8', (t) => {
  const bytes = fc.uint8Array({ maxLength: 2000 }).map((raw) => Buffer.from(raw).toString('utf8'));
  fc.assert(fc.property(bytes, check), seeded(t, 500));
});

test('random rows of the words of the language', (t) => {
  const words = [
    '{',
    '}',
    'on',
    'resource',
    'a',
    'b',
    '"',
    '#',
    '\n',
    '\\',
    ';',
    'none',
    '/x',
    '5m',
  ];
  const more = ['target', '127.0.0.1', '10.0.0.1', '20', '"0 2 * * *"', 'onn', 'zstd', 'off'];
  const all = [...words, ...more, ...KEYWORDS.map((keyword) => keyword.name)];
  const rows = fc.array(fc.constantFrom(...all), { maxLength: 200 }).map((row) => row.join(' '));
  fc.assert(fc.property(rows, check), seeded(t, 2000));
});

test('samples with pieces cut out, doubled, exchanged and damaged', (t) => {
  const piece = fc.record({
    at: fc.nat(),
    length: fc.nat({ max: 40 }),
    text: fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('{', '}', '"', '\n', 'on ', '')),
    again: fc.boolean(),
  });
  const mutated = fc
    .tuple(fc.constantFrom(...FILES), fc.array(piece, { minLength: 1, maxLength: 6 }))
    .map(([file, pieces]) => {
      let text = file;
      for (const { at, length, text: put, again } of pieces) {
        const from = at % (text.length + 1);
        const cut = text.slice(from, from + length);
        text = text.slice(0, from) + put + (again ? cut + cut : '') + text.slice(from + length);
      }
      return text;
    });
  fc.assert(fc.property(mutated, check), seeded(t, 2000));
});

test('every prefix of a file is answered', () => {
  const text = projectFile('config/examples/freebsd-many.conf');
  for (let end = 0; end <= text.length; end += 1) check(text.slice(0, end));
});

test('large files of the worst kinds take bounded time and stack', () => {
  const kinds = ['{', '}', '"', '\\', 'a', 'a ', '\n', ';', '@ ', 'on ', 'on a{', 'resource a{'];
  const more = [
    'resource r{on a{',
    'x{',
    'timeout ',
    'timeout 5 ',
    'listen 127.0.0.1 ',
    '"a" ',
    'onn a{',
  ];
  for (const kind of [...kinds, ...more]) {
    const text = kind.repeat(Math.floor(CONFIG_BYTES_MAX / 8 / kind.length));
    const start = performance.now();
    check(text);
    const took = performance.now() - start;
    assert.ok(took < WORST_MS_MAX, `${JSON.stringify(kind)} took ${took} ms`);
  }
});

test('many different addresses and names take bounded time', () => {
  const listens = Array.from({ length: 20_000 }, (_, i) => `listen 127.0.${i >> 8}.${i & 255}`);
  const resources = Array.from(
    { length: 10_000 },
    (_, i) => `resource r${i} { on a { local /${i} remote none } on b { remote none } }`,
  );
  const targets = Array.from({ length: 20_000 }, (_, i) => `target t${i} { remote /${i} }`);
  const inNode = `on a { local /x ${targets.slice(0, 10_000).join('\n')} }`;
  const oneResource = `resource r { ${targets.join('\n')} ${inNode} }`;
  const globals = 'retain 7 timeout 8\n'.repeat(20_000);
  const spread = resources.map((text) => text.replace('on a', 'target c { remote none } on a'));
  const many = [oneResource, globals + oneResource.slice(0, 400_000), globals + spread.join('\n')];
  for (const text of [listens.join('\n'), resources.join('\n'), ...many]) {
    assert.ok(text.length > 100_000 && text.length < 2 * CONFIG_BYTES_MAX);
    const start = performance.now();
    check(text);
    assert.ok(performance.now() - start < WORST_MS_MAX);
  }
});

test('a file above the limit is refused before it is read', () => {
  const largest = '#'.repeat(CONFIG_BYTES_MAX);
  assert.ok(load(largest).settings);
  for (const text of [`${largest}#`, '#ü'.repeat(CONFIG_BYTES_MAX / 2)]) {
    const { settings, findings } = load(text);
    assert.equal(settings, null);
    assert.equal(findings.length, 1);
    assert.match(findings[0]?.text ?? '', /larger than the 1048576 bytes/);
  }
});
