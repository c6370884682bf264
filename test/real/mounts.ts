// Small file systems, loop devices and an NBD export as a file, for tests that are root. All is
// undone after the test, in the order that cannot hang: unmount, detach, then the FUSE end; each
// step has a time limit, and when one is stuck nbdfuse is killed, which turns waiting into EIO.
// Call these after the nodes were made: nodes are ended first then, and hold nothing open.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { succeed } from './images.js';

const STEP_SECONDS_MAX = 20;
const TRIES_MAX = 500;
const TRY_MS = 20;

/** Runs a command that may hang, for at most twenty seconds: its status, null when it did. */
export function quick(program: string, ...args: string[]): number | null {
  const limited = ['-k', '1', String(STEP_SECONDS_MAX), program, ...args];
  return spawnSync('timeout', limited, { stdio: 'ignore' }).status;
}

/** A folder that is a tmpfs of `sizeBytes`. Root. */
export async function smallFileSystem(t: TestContext, sizeBytes: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'hast-small-'));
  t.after(() => {
    quick('umount', '-l', folder);
    rmSync(folder, { recursive: true, force: true });
  });
  await succeed('mount', '-t', 'tmpfs', '-o', `size=${sizeBytes},mode=700`, 'none', folder);
  return folder;
}

/** A loop device over the file `path`. Root. */
export async function loopDevice(t: TestContext, path: string, ...options: string[]) {
  const { stdout } = await succeed('losetup', '--find', '--show', ...options, path);
  const device = stdout.trim();
  t.after(() => detach(device));
  return device;
}

/** Detaching is lazy: waits until the file behind is let go. */
async function detach(device: string): Promise<void> {
  quick('losetup', '-d', device);
  const name = device.replace('/dev/', '');
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    if (!existsSync(`/sys/block/${name}/loop/backing_file`)) return;
    await sleep(TRY_MS);
  }
}

export interface MountedExport {
  readonly device: string;
  readonly folder: string;
  /** mkfs first, then `mount`; `unmount` undoes all of it. */
  mount(): Promise<void>;
  unmount(): Promise<void>;
}

/** A loop device over the export `uri`, by nbdfuse; direct I/O, so that no second cache hides
 * flushes. Root, and /dev/fuse. */
export async function attachExport(t: TestContext, uri: string): Promise<MountedExport> {
  const base = mkdtempSync(join(tmpdir(), 'hast-fuse-'));
  const [fuse, folder] = [join(base, 'fuse'), join(base, 'mnt')];
  mkdirSync(fuse);
  mkdirSync(folder);
  const file = join(fuse, 'disk');
  const child = spawn('nbdfuse', [file, uri], { stdio: 'ignore' });
  let device = '';
  let mounted = false;
  const unmount = async (): Promise<void> => {
    if (mounted && quick('umount', folder) === null) child.kill('SIGKILL');
    if (mounted) quick('umount', folder);
    mounted = false;
    if (device !== '') await detach(device);
    device = '';
    quick('fusermount3', '-u', fuse);
    await gone(child);
  };
  t.after(async () => {
    await unmount();
    if (readdirSync(folder).length === 0) rmSync(base, { recursive: true, force: true });
  });
  for (let tries = 0; !isDisk(file); tries += 1) {
    assert.ok(tries < TRIES_MAX && child.exitCode === null, 'nbdfuse shows the disk');
    await sleep(TRY_MS);
  }
  const shown = await succeed('losetup', '--find', '--show', '--direct-io=on', file);
  device = shown.stdout.trim();
  const mount = async (): Promise<void> => {
    await succeed('timeout', String(STEP_SECONDS_MAX), 'mount', device, folder);
    mounted = true;
  };
  return { device, folder, mount, unmount };
}

function isDisk(path: string): boolean {
  try {
    return statSync(path).size > 0;
  } catch {
    return false;
  }
}

async function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await once(child, 'exit');
  clearTimeout(timer);
}
