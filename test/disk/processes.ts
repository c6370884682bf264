// Programs and loop devices that disk tests start; each ends with its test, by its own id.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

/** Attaches `path` as a loop device until the test ends; returns the device's path. */
export function loopDevice(t: TestContext, path: string): string {
  const made = spawnSync('losetup', ['--find', '--show', path], { encoding: 'utf8' });
  assert.equal(made.status, 0, `losetup: ${made.stderr}`);
  const device = made.stdout.trim();
  t.after(() => {
    spawnSync('losetup', ['--detach', device]);
  });
  return device;
}

/** Starts a program that stays until the test ends or `stop` is called. */
export function startProgram(t: TestContext, command: string, ...args: string[]) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    await ended;
  };
  t.after(stop);
  return { child, pid: child.pid ?? -1, stop };
}

/** What a program said and its status, when it has ended. */
export function runProgram(command: string, ...args: string[]): { status: number; text: string } {
  const done = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  return { status: done.status ?? -1, text: `${done.stdout}${done.stderr}` };
}

/** Waits until `test` holds; fails with `what` after ten seconds or when the child is gone. */
export async function waitFor(
  what: string,
  child: ChildProcess,
  test: () => boolean,
): Promise<void> {
  for (let turn = 0; turn < 500; turn += 1) {
    if (test()) return;
    assert.equal(child.exitCode, null, `${what}: the program has ended`);
    await sleep(20);
  }
  assert.fail(`${what}: not within ten seconds`);
}

/** Starts qemu-nbd on a raw image and waits until it greets, which is after it took its locks. */
export async function holdWithQemu(
  t: TestContext,
  path: string,
  socketPath: string,
  ...more: string[]
) {
  const args = ['-f', 'raw', '-k', socketPath, '--persistent', ...more, path];
  const program = startProgram(t, 'qemu-nbd', ...args);
  await waitFor('qemu-nbd', program.child, () => existsSync(socketPath));
  // It listens before it opens the image, and accepts afterwards.
  const client = connect(socketPath);
  await once(client, 'data');
  client.destroy();
  return program;
}

/** True when the kernel lists a flock of `pid`. */
export function hasFlock(pid: number): boolean {
  const lines = readFileSync('/proc/locks', 'latin1').split('\n');
  return lines.some((line) => line.includes('FLOCK') && line.split(/\s+/)[4] === String(pid));
}
