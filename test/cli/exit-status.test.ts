// The one table of exit statuses: every code it names exists, every code in the source has a
// status, hastctl(8) lists every number and every code of these layers, and nothing else is used.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CHECK_STATUS,
  EXIT,
  exitStatusOf,
  STATUS_OF_CODE,
  STATUS_OF_FAMILY,
} from '../../src/control/exit-status.js';

const ROOT = join(import.meta.dirname, '../../..');
const PAGE = readFileSync(join(ROOT, 'man/hastctl.8'), 'utf8');
const NUMBERS = new Set<number>(Object.values(EXIT));

/** Codes of fault unions (`| { code: 'X'`) below a folder of src. */
function codesIn(folder: string): string[] {
  const found = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const text = readFileSync(join(ROOT, folder, name), 'utf8');
      return [...text.matchAll(/\{\s*code: '([A-Z][A-Z0-9_]+)'/g)].map(([, code = '']) => code);
    });
  return [...new Set(found)].sort();
}

test('every code in the source has a status of the table', () => {
  const codes = codesIn('src');
  assert.ok(codes.length > 40);
  for (const code of codes) assert.ok(NUMBERS.has(exitStatusOf(code)), code);
});

test('no error ends with success, and none without a code either', () => {
  for (const code of [...codesIn('src'), null]) assert.notEqual(exitStatusOf(code), 0);
  assert.equal(exitStatusOf(null), 70);
  assert.equal(exitStatusOf('ENOENT'), 70);
  assert.equal(exitStatusOf('toString'), 70, 'not a property of Object');
});

test('every code that the table names exists', () => {
  const codes = codesIn('src');
  for (const code of Object.keys(STATUS_OF_CODE)) assert.ok(codes.includes(code), code);
});

test('a family gives its status to codes that are not named', () => {
  assert.equal(exitStatusOf('TARGET_SOMETHING'), EXIT.roundFailed);
  assert.equal(exitStatusOf('CONFIG_SOMETHING'), EXIT.config);
  assert.equal(exitStatusOf('CONFIG_UNREADABLE'), EXIT.configUnreadable);
  assert.equal(new Set(STATUS_OF_FAMILY.map(([prefix]) => prefix)).size, STATUS_OF_FAMILY.length);
});

test("HAST's statuses keep their meaning", () => {
  assert.deepEqual(
    ['CLI_USAGE', 'CLI_UNKNOWN_RESOURCE', 'CONTROL_LOST', 'CONTROL_UNREACHABLE'].map(exitStatusOf),
    [64, 65, 69, 71],
  );
  assert.deepEqual(['CONFIG_UNREADABLE', 'CONFIG_INVALID'].map(exitStatusOf), [72, 78]);
  assert.equal(exitStatusOf('CONTROL_NO_RESOURCE'), 1);
});

test('hastctl(8) lists every number and every code of control and cli', () => {
  for (const number of NUMBERS)
    assert.match(PAGE, new RegExp(`^\\.It ${number}$`, 'm'), `${number}`);
  for (const code of [...codesIn('src/control'), ...codesIn('src/cli')]) {
    assert.match(PAGE, new RegExp(`^\\.It (Er|Dv) ${code}\\b`, 'm'), code);
  }
});

test('the statuses of --check are those of monitoring plug-ins, and hastctl(8) has them', () => {
  assert.deepEqual(CHECK_STATUS, { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 });
  const section = PAGE.slice(PAGE.indexOf('.Sh MONITORING'), PAGE.indexOf('.Sh JSON'));
  const rows = section.matchAll(/^\.It Sy (\d+)\n\.Li (\S+) :$/gm);
  const told = Object.fromEntries([...rows].map(([, number, word = '']) => [word, Number(number)]));
  assert.deepEqual(told, CHECK_STATUS);
});
