// The state directory: one daemon at a time, and not in memory where marks must survive (H9).
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { type Log, silentLog } from '../../src/base/log.js';
import { MIB } from '../../src/base/units.js';
import type { NodeSettings } from '../../src/config/settings.js';
import { checkMedium, takeStateDirectory } from '../../src/daemon/state-directory.js';
import { smallFileSystem } from '../real/mounts.js';
import { needRoot, scratch } from '../real.js';

test('it is made, belongs to one, and is free again', (t) => {
  const path = join(scratch(t), 'deep', 'state');
  const release = takeStateDirectory(path);
  assert.equal(readFileSync(join(path, 'lock'), 'utf8'), `${process.pid}\n`);
  const running = (error: unknown): boolean => codeOf(error) === 'DAEMON_RUNNING';
  assert.throws(() => takeStateDirectory(path), running);
  assert.throws(() => takeStateDirectory(path), new RegExp(`pid ${process.pid}`));
  release();
  takeStateDirectory(path)();
});

test('what cannot be a folder is said with its path', (t) => {
  const file = join(scratch(t), 'file');
  writeFileSync(file, '');
  assert.throws(
    () => takeStateDirectory(file),
    (error) => codeOf(error) === 'STATEDIR_UNUSABLE' && String(error).includes(file),
  );
});

/** What is logged for a state directory there. */
function checked(statedir: string, metaflush: readonly boolean[]): string[] {
  const said: string[] = [];
  const log: Log = { ...silentLog, warn: (sentence) => void said.push(sentence) };
  const resources = metaflush.map((on, number) => ({ name: `vm${number}`, metaflush: on }));
  checkMedium({ statedir, resources } as unknown as NodeSettings, log);
  return said;
}

test('a file system in memory is a warning, and with metaflush on an error', async (t) => {
  assert.deepEqual(checked(import.meta.dirname, [true]), [], 'on a disk all is well');
  if (!needRoot(t)) return;
  const memory = await smallFileSystem(t, MIB);
  assert.equal(checked(memory, [false, false]).length, 1);
  assert.throws(
    () => checked(memory, [false, true]),
    (error) => codeOf(error) === 'STATEDIR_VOLATILE' && /vm1 has "metaflush on"/.test(`${error}`),
  );
});
