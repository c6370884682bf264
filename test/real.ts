// What tests of real parts need: is the tool there, are we root, a folder that goes away again.
// A missing tool skips the test with the reason; with HAST_REQUIRE_ALL=1 it fails it instead.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

const requireAll = process.env['HAST_REQUIRE_ALL'] === '1';

function missing(t: TestContext, reason: string): false {
  assert.ok(!requireAll, `HAST_REQUIRE_ALL=1, but ${reason}`);
  t.skip(reason);
  return false;
}

/** True when all programs are on the path; else the test is skipped (or fails), and false. */
export function needTool(t: TestContext, ...names: string[]): boolean {
  for (const name of names) {
    const found = spawnSync('sh', ['-c', 'command -v "$1"', 'sh', name], { stdio: 'ignore' });
    if (found.status !== 0) return missing(t, `${name} is not installed`);
  }
  return true;
}

/** As needTool, for the privilege. */
export function needRoot(t: TestContext): boolean {
  return process.getuid?.() === 0 || missing(t, 'it must run as root');
}

/** A new folder, removed after the test. */
export function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'hast-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
