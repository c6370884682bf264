// The files of config/: samples and examples are right for every node they name, every invalid file
// gives exactly the errors that its first lines announce, and the manual page knows every setting.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { formatFinding } from '../../src/config/finding.js';
import { KEYWORDS, keywordOf } from '../../src/config/keywords.js';
import { loadConfig } from '../../src/config/load.js';
import { needTool } from '../real.js';
import { confFiles, errorsOf, nodesOf, projectFile, projectPath, settingsOf } from './material.js';

const SAMPLE = 'config/hast.conf.sample';
const PAGE = 'man/hast.conf.5';

for (const name of [SAMPLE, 'config/quickstart.conf', ...confFiles('config/examples')]) {
  test(`${name} is right for every node it names`, () => {
    const text = projectFile(name);
    const nodes = nodesOf(text);
    assert.ok(nodes.length > 0, 'it names nodes');
    for (const node of nodes) {
      const { resources } = settingsOf(text, node);
      assert.ok(resources.length > 0, `${node} has a resource`);
    }
  });
}

/** `# expect: line:column: setting: part` lines of an invalid file. */
function expectations(text: string): { place: string; part: string }[] {
  return [...text.matchAll(/^# expect: (\d+:\d+: [^:]+: )(.+)$/gm)].map(
    ([, place = '', part = '']) => ({ place, part }),
  );
}

for (const name of confFiles('config/invalid')) {
  test(`${name} gives the errors it announces and no others`, () => {
    const text = projectFile(name);
    const expected = expectations(text);
    assert.ok(expected.length > 0, 'it says what is expected');
    const errors = errorsOf(text);
    const met = (error: string, { place, part }: { place: string; part: string }): boolean =>
      error.startsWith(place) && error.includes(part);
    for (const one of expected) {
      assert.ok(
        errors.some((error) => met(error, one)),
        `${one.place}${one.part}\n${errors.join('\n')}`,
      );
    }
    for (const error of errors)
      assert.ok(
        expected.some((one) => met(error, one)),
        error,
      );
  });
}

test('a finding names the file as it was given', () => {
  const { findings } = loadConfig('timeout 0', '/etc/hast.conf', { names: ['a'] });
  assert.deepEqual(findings.map(formatFinding), [
    '/etc/hast.conf:1:9: timeout: 0 is outside 1s..1d',
  ]);
});

test('the sample shows every setting, with its default, and is right with all of them', () => {
  const text = projectFile(SAMPLE);
  const opened = text.replaceAll(/^(\s*)#([a-z}])/gm, '$1$2');
  for (const { name, default: value } of KEYWORDS) {
    assert.match(opened, new RegExp(`^\\s*${name} `, 'm'), `${name} is shown`);
    if (value === null || name === 'listen') continue;
    assert.ok(text.includes(`#${name} ${value}\n`), `${name} ${value} is shown as the default`);
  }
  for (const node of ['hosta', 'hostb']) {
    const result = loadConfig(opened, SAMPLE, { names: [node] });
    const errors = result.findings.filter((finding) => finding.level === 'error');
    assert.deepEqual(errors.map(formatFinding), []);
  }
});

test('hast.conf(5) has an entry for every setting, with scopes and default', () => {
  const page = projectFile(PAGE);
  const entries = new Map<string, string>();
  for (const part of page.split(/^\.It Cm /m).slice(1)) {
    const name = part.split(/\s/)[0] ?? '';
    entries.set(name, (entries.get(name) ?? '') + part);
  }
  const scopeWords = {
    global: 'top level',
    node: 'node',
    resource: 'resource',
    'resource node': 'resource node',
    target: 'target',
    archive: 'archive',
  };
  for (const keyword of KEYWORDS) {
    const entry = entries.get(keyword.name);
    assert.ok(entry, `${keyword.name} has an entry`);
    const scopes = keyword.scopes.map((scope) => scopeWords[scope]).join(', ');
    assert.ok(entry.includes(`Scopes: ${scopes}.`), `${keyword.name}: Scopes: ${scopes}.`);
    for (const value of keyword.default?.split(' ') ?? []) {
      assert.ok(entry.includes(value), `${keyword.name}: default ${value}`);
    }
    const { value } = keyword;
    for (const word of value.kind === 'word' ? value.words : []) {
      assert.ok(entry.includes(word), `${keyword.name}: ${word}`);
    }
    if (value.kind === 'number') assert.ok(entry.includes(`${value.min} to ${value.max}`));
  }
  assert.ok(page.includes('ADDRESS_INVALID'));
});

test('the examples of hast.conf(5) are right', () => {
  const examples = [...projectFile(PAGE).matchAll(/^\.Bd -literal[^\n]*\n([\s\S]*?)^\.Ed/gm)]
    .map((match) => (match[1] ?? '').replaceAll('\\e', '\\'))
    .filter((text) => text.includes('local '));
  assert.ok(examples.length >= 3);
  for (const text of examples) {
    for (const node of nodesOf(text)) assert.deepEqual(errorsOf(text, node), [], text);
  }
});

test('hast.conf(5) is clean mdoc', (t) => {
  if (!needTool(t, 'mandoc')) return;
  const lint = spawnSync('mandoc', ['-Tlint', '-Wstyle', projectPath(PAGE)], { encoding: 'utf8' });
  const lines = `${lint.stdout}${lint.stderr}`.split('\n').filter((line) => line !== '');
  // Pages refer to each other before they are installed, and a machine's index may be old.
  const elsewhere = /referenced manual not found|outdated mandoc\.db/;
  const findings = lines.filter((line) => !elsewhere.test(line));
  assert.deepEqual(findings, []);
});

test('the table has each name once and no prototype member', () => {
  const names = KEYWORDS.map((keyword) => keyword.name);
  assert.equal(new Set(names).size, names.length);
  assert.equal(keywordOf('constructor'), null);
  assert.equal(keywordOf('__proto__'), null);
});
