// Runs NBD clients of other people to their end, from tests. Killed with the test, or after
// SECONDS_MAX.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { needTool } from '../real.js';

const SECONDS_MAX = 60;

export interface Ran {
  readonly status: number | null;
  /** Both streams. */
  readonly out: string;
  readonly stdout: string;
}

export function run(t: TestContext, command: string, ...args: string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { timeout: SECONDS_MAX * 1000, killSignal: 'SIGKILL' });
    t.after(() => child.kill('SIGKILL'));
    const all: Buffer[] = [];
    const standard: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => {
      all.push(bytes);
      standard.push(bytes);
    });
    child.stderr.on('data', (bytes: Buffer) => all.push(bytes));
    child.on('error', reject);
    child.on('close', (status) => {
      resolve({ status, out: String(Buffer.concat(all)), stdout: String(Buffer.concat(standard)) });
    });
  });
}

/** What it printed on its standard output; it must succeed. */
export async function mustRun(t: TestContext, command: string, ...args: string[]): Promise<string> {
  const { status, out, stdout } = await run(t, command, ...args);
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${out}`);
  return stdout;
}

export const PYTHON = '/usr/bin/python3';

/** True when python3 has libnbd; else the test is skipped (or fails), and false. */
export async function needLibnbd(t: TestContext): Promise<boolean> {
  if (!needTool(t, PYTHON)) return false;
  if ((await run(t, PYTHON, '-c', 'import nbd')).status === 0) return true;
  assert.notEqual(process.env['HAST_REQUIRE_ALL'], '1', 'python3-libnbd is not installed');
  t.skip('python3-libnbd is not installed');
  return false;
}
