// Tokens: HAST's character class, numbers, quotes, comments, places, and what is reported.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Findings } from '../../src/config/finding.js';
import { lex, VALUE_CHARACTERS_MAX } from '../../src/config/lex.js';

function run(text: string): { tokens: string[]; places: string[]; said: string[] } {
  const findings = new Findings('f');
  const tokens = lex(text, findings);
  return {
    tokens: tokens.map((token) => `${token.kind}:${token.text}`),
    places: tokens.map((token) => `${token.line}:${token.column}`),
    said: findings.sorted().map((f) => `${f.line}:${f.column}: ${f.level}: ${f.text}`),
  };
}

test('words hold exactly the characters of HAST, digits alone are a number', () => {
  const { tokens, said } = run('on [::1]:8457 a.b-c_d/e 20 20s 1.2 {}');
  assert.deepEqual(tokens, [
    'word:on',
    'word:[::1]:8457',
    'word:a.b-c_d/e',
    'number:20',
    'word:20s',
    'word:1.2',
    '{:{',
    '}:}',
    'end:',
  ]);
  assert.deepEqual(said, []);
});

test('a number with % is a word; % elsewhere is in nothing', () => {
  const { tokens, said } = run('scrub 1% 0.5%} 12.5%x');
  assert.deepEqual(tokens.slice(0, -1), [
    'word:scrub',
    'word:1%',
    'word:0.5%',
    '}:}',
    'word:12.5%',
    'word:x',
  ]);
  assert.deepEqual(said, []);
  for (const text of ['a%', '%', '1.%', '/srv/1%']) assert.equal(run(text).said.length, 1, text);
});

test('braces need no white space, and a comment ends a word', () => {
  assert.deepEqual(run('a{b}c#d e\nf').tokens, [
    'word:a',
    '{:{',
    'word:b',
    '}:}',
    'word:c',
    'word:f',
    'end:',
  ]);
});

test('lines and columns count from 1; a byte order mark and CRLF do not count', () => {
  assert.deepEqual(run('\uFEFFa\tb\r\n  c\n\n"d" e').places, [
    '1:1',
    '1:3',
    '2:3',
    '4:1',
    '4:5',
    '4:6',
  ]);
});

test('quotes hold anything printable, with two escapes', () => {
  const { tokens, said } = run(String.raw`"a b" "x\"y\\z" "" "{#}" "ü@"`);
  assert.deepEqual(tokens, [
    'string:a b',
    String.raw`string:x"y\z`,
    'string:',
    'string:{#}',
    'string:ü@',
    'end:',
  ]);
  assert.deepEqual(said, []);
});

test('a string that does not end stops at its line, and the next line is read', () => {
  for (const open of ['"abc', '"abc\\', '"abc \\"']) {
    const { tokens, said } = run(`${open}\nnext`);
    assert.equal(tokens.at(-2), 'word:next', open);
    assert.match(said.join('\n'), /1:1: error: a quoted string must end|may follow a backslash/);
  }
  assert.equal(run('"').said.length, 1);
  assert.equal(run('"\\').said.length, 1);
});

test('unknown escapes and control characters in quotes are errors', () => {
  assert.match(run(String.raw`"a\n"`).said[0] ?? '', /1:1: error: in quotes only/);
  assert.match(run('"a\0b"').said[0] ?? '', /control character/);
  assert.match(run('"a\tb"').said[0] ?? '', /control character/);
});

test('a run of stray characters is one error, a semicolon only a note', () => {
  const { tokens, said } = run('a @@@ü b; c = d');
  assert.deepEqual(tokens, ['word:a', 'word:b', 'word:c', 'word:d', 'end:']);
  assert.equal(said.length, 3);
  assert.match(said[0] ?? '', /^1:3: error: @@@ü can stand only inside quotes/);
  assert.match(said[1] ?? '', /^1:9: note: ; is not needed/);
  assert.match(said[2] ?? '', /^1:13: error: = does not stand between/);
});

test('values have a limit in either form, and messages stay short', () => {
  const longest = 'x'.repeat(VALUE_CHARACTERS_MAX);
  assert.deepEqual(run(`${longest} "${longest}"`).said, []);
  for (const text of [`${longest}x`, `"${longest}x"`]) {
    const { tokens, said } = run(text);
    assert.match(said[0] ?? '', /4097 characters is longer than the 4096 allowed/);
    assert.equal((tokens[0] ?? '').split(':')[1]?.length, VALUE_CHARACTERS_MAX);
  }
  const [finding = ''] = run('@'.repeat(100_000)).said;
  assert.ok(finding.length < 200, finding);
});
