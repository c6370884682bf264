// Which version is installed: both programs say it, without a configuration or a daemon.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const TOP = join(import.meta.dirname, '../../..');
const PROGRAMS = join(import.meta.dirname, '../../src');

for (const [program, file] of [
  ['hastd', 'hastd.cjs'],
  ['hastctl', 'hastctl.js'],
] as const) {
  test(`${program} --version is that of the package`, () => {
    const { version } = JSON.parse(readFileSync(join(TOP, 'package.json'), 'utf8'));
    for (const option of ['-V', '--version']) {
      const words = [join(PROGRAMS, file), '-c', '/nowhere', option];
      const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
      assert.equal(stdout, `${program} ${version}\n`, stderr);
      assert.equal(status, 0);
    }
  });
}
