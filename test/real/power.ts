// Power that can be cut: an ext4 whose disk has a volatile write cache, which keeps what is written
// until a FLUSH comes. A 'lost' cache, nbdkit's cache filter, loses with its kill -9 exactly what
// was not flushed: data, names and journal alike. A 'torn' one, volatile-disk.ts, leaves any part
// of it, by seed; writeback.ts can see to it that much of it gets there. nbdfuse shows its export
// as a file, a loop device makes it a disk. All is undone after the test; call it after the nodes
// were made, whose hooks run first. Keep what is dirty on it small: the page cache above must be
// written through processes below.
import assert from 'node:assert/strict';
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { needRoot, needTool } from '../real.js';
import { succeed } from './images.js';
import { quick } from './mounts.js';
import { finish } from './nodes.js';
import type { CutReport } from './volatile-cache.js';

type Cache = 'lost' | 'torn';

const TRIES_MAX = 500;
const TRY_MS = 20;
const VOLATILE_DISK = join(import.meta.dirname, 'volatile-disk.js');
const WRITEBACK = join(import.meta.dirname, 'writeback.js');
/** Of loop devices, by the twenty bits of a minor number; none that others count up to. */
const [LOOPS_MIN, LOOPS_MAX] = [1000, 2 ** 20];
const LOOP_CTL_REMOVE = 0x4c81;
const ioctl = koffi.load(null).func('int ioctl(int fd, ulong request, long number)');
/** The journal commits by itself every five seconds: by that time a lie would have become true. */
const COMMIT_SECONDS = 300;

/** A run that is broken off leaves nothing mounted. */
const standing = new Set<PowerDisk>();
process.on('exit', () => {
  for (const disk of standing) {
    disk.takeDown();
    disk.removesDevice();
  }
});

/** Null after skipping: not root, no FUSE, or a tool is missing. */
export async function powerDisk(
  t: TestContext,
  sizeBytes: number,
  cache: Cache = 'lost',
): Promise<PowerDisk | null> {
  if (!needRoot(t)) return null;
  if (!needTool(t, 'nbdkit', 'nbdfuse', 'fusermount3', 'losetup', 'mkfs.ext4')) return null;
  if (!existsSync('/dev/fuse')) {
    assert.notEqual(process.env['HAST_REQUIRE_ALL'], '1', 'there is no /dev/fuse');
    t.skip('there is no /dev/fuse');
    return null;
  }
  const disk = new PowerDisk(cache);
  t.after(() => disk.end());
  const { image } = disk;
  writeFileSync(image, '');
  truncateSync(image, sizeBytes);
  await succeed('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image);
  await disk.on();
  return disk;
}

export class PowerDisk {
  /** The file system. */
  readonly folder: string;
  /** What survives a cut. */
  readonly image: string;
  readonly #base: string;
  readonly #fuse: string;
  readonly #cache: Cache;
  /** Of the last cut of a torn cache. */
  survived: CutReport | null = null;
  #server: ChildProcess | null = null;
  #shown: ChildProcess | null = null;
  #writeback: ChildProcess | null = null;
  /** The same device each time: its number is part of what tells one disk from another (H11). A
   * number of its own: while the power is off, a free one of the first would be `--find`'s choice
   * for another test. */
  readonly #number = randomInt(LOOPS_MIN, LOOPS_MAX);
  readonly #device = `/dev/loop${this.#number}`;

  constructor(cache: Cache) {
    this.#cache = cache;
    this.#base = mkdtempSync(join(tmpdir(), 'hast-power-'));
    this.#fuse = join(this.#base, 'fuse');
    this.folder = join(this.#base, 'mnt');
    this.image = join(this.#base, 'disk.img');
    for (const folder of [this.#fuse, this.folder]) mkdirSync(folder);
  }

  /** Power is there: mounts what survived; the journal is replayed. */
  async on(): Promise<void> {
    const socket = join(this.#base, 'socket');
    rmSync(socket, { force: true });
    standing.add(this);
    this.#server = this.#serve(socket);
    await comes('the server', this.#server, () => existsSync(socket));
    const file = join(this.#fuse, 'disk');
    this.#shown = start('nbdfuse', file, '--unix', socket);
    await comes('nbdfuse', this.#shown, () => sizeOf(file) > 0);
    await this.#attach(file);
    const commit = `commit=${COMMIT_SECONDS}`;
    await succeed('timeout', '20', 'mount', '-o', commit, this.#device, this.folder);
    // It outlives cuts: after a start it would come too late for the next one.
    if (this.#cache === 'lost' || this.#writeback !== null) return;
    const stdio: StdioOptions = ['pipe', 'ignore', 'inherit'];
    this.#writeback = spawn(process.execPath, [WRITEBACK], { stdio });
  }

  /** Shows `file` as the device. It may still be busy: one that was detached is let go later, and
   * a moment after that it can be had. */
  async #attach(file: string): Promise<void> {
    // Direct I/O: no second page cache that would write later than the first.
    const words = ['--direct-io=on', this.#device, file];
    for (let tries = 1; ; tries += 1) {
      const { status, stderr } = await finish('losetup', words);
      if (status === 0) return;
      assert.ok(tries < TRIES_MAX, `losetup ${words.join(' ')}: ${status}\n${stderr}`);
      await sleep(TRY_MS);
    }
  }

  /** At once, whatever is under way; to be called in one turn with the kill of what runs on it. */
  cut(): void {
    this.#server?.kill('SIGKILL');
  }

  /** Of a torn cache: with the end of process `pid`, which runs on it, when so many further FLUSH
   * have come (or no more come). `seed`: of what survives. Resolves when it has happened. */
  async cutWith(pid: number, flushes: number, seed: number): Promise<void> {
    this.#server?.stdin?.write(`cut ${seed} ${pid} ${flushes}\n`);
    await gone(this.#server);
  }

  /** What is written to files below this folder of it is soon in the cache of the disk, and then
   * durable with any flush; other files stay in memory until they are synced. Null: all do. */
  hurry(folder: string | null): void {
    this.#writeback?.stdin?.write(`${folder === null ? '' : join(this.folder, folder)}\n`);
  }

  /** Takes down what is left of it; what ran on it has ended. */
  async off(): Promise<void> {
    this.#server?.kill('SIGKILL');
    await gone(this.#server);
    this.takeDown();
    await gone(this.#shown);
  }

  /** In one turn: nothing is mounted any more, and the device is let go. */
  takeDown(): void {
    standing.delete(this);
    this.#server?.kill('SIGKILL');
    quick('umount', '-l', this.folder);
    quick('losetup', '-d', this.#device);
    quick('fusermount3', '-u', '-z', this.#fuse);
  }

  #serve(socket: string): ChildProcess {
    if (this.#cache === 'lost') {
      const cache = ['--filter=cache', 'file', this.image, 'cache=writeback'];
      return start('nbdkit', '-f', '--exit-with-parent', '-U', socket, ...cache);
    }
    const words = [VOLATILE_DISK, this.image, socket];
    const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => undefined);
    child.stdout.on('data', (line: Buffer) => {
      this.survived = JSON.parse(line.toString());
    });
    return child;
  }

  /** False: something is attached to it still. */
  removesDevice(): boolean {
    const control = openSync('/dev/loop-control', 'r+');
    const isRemoved = ioctl(control, LOOP_CTL_REMOVE, this.#number) >= 0;
    closeSync(control);
    return isRemoved;
  }

  async end(): Promise<void> {
    this.#writeback?.kill('SIGKILL');
    await gone(this.#writeback);
    await this.off();
    for (let tries = 1; !this.removesDevice() && tries < TRIES_MAX; tries += 1) await sleep(TRY_MS);
    if (!isMounted(this.folder)) rmSync(this.#base, { recursive: true, force: true });
  }
}

const start = (program: string, ...args: string[]): ChildProcess =>
  spawn(program, args, { stdio: 'ignore' }).on('error', () => undefined);

const isMounted = (folder: string): boolean =>
  readFileSync('/proc/self/mounts', 'latin1').includes(` ${folder} `);

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

async function comes(what: string, child: ChildProcess, look: () => boolean): Promise<void> {
  for (let tries = 0; !look(); tries += 1) {
    assert.ok(tries < TRIES_MAX && child.exitCode === null, `${what} is not there`);
    await sleep(TRY_MS);
  }
}

async function gone(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await once(child, 'exit');
  clearTimeout(timer);
}
