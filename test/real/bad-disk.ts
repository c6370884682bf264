// A disk that fails to order, under a path of its own: nbdkit runs a script that looks at small
// files before each operation, nbdfuse shows it as a regular file, and a loop device makes that a
// block device where one is asked for. Errors are real EIO of pread(2), pwrite(2), fdatasync(2); a
// hang is a real one. Offsets and lengths are bytes.
//
// A 'file' writes through: a failed write is told at once. A 'block' device has a page cache of its
// own: a failed write is told by fdatasync, once (H18). Neither punches holes.
// Call it after the nodes that use the disk were made: hooks run in that order, and a disk that is
// still open cannot be taken away.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { posixFadviseDontNeed } from '../../src/disk/syscalls.js';
import { needRoot, needTool } from '../real.js';

export interface BadRange {
  readonly offset: number;
  readonly length: number;
}

export interface BadDisk {
  readonly path: string;
  /** The regular file with the content; a change here is one behind everybody's back. */
  readonly backing: string;
  /** From now on operations that meet a byte of the range fail with EIO; null: none does. What the
   * page cache had is dropped, so that reads ask the medium. */
  failReads(range: BadRange | null): void;
  failWrites(range: BadRange | null): void;
  failFlush(on: boolean): void;
  /** Every operation waits until it is switched off; that is done after the test at the latest. */
  hang(on: boolean): void;
  /** Drops what is clean in the page cache of the path. */
  dropCache(): void;
}

export interface BadDiskOptions {
  /** A multiple of 4096. */
  readonly sizeBytes: number;
  /** Default 'file'. */
  readonly kind?: 'file' | 'block';
}

/** nbdkit-sh-plugin(3): method, handle, then count and offset. */
const SCRIPT = `#!/bin/sh
D="\${0%/*}"
meets() { # file count offset
  read -r from length 2>/dev/null < "$D/$1" || return 1
  [ "$3" -lt $((from + length)) ] && [ "$from" -lt $(($3 + $2)) ]
}
wait_and_see() { # file count offset
  while [ -e "$D/hang" ]; do sleep 0.05; done
  if meets "$@"; then echo "EIO a bad sector" >&2; exit 1; fi
}
case "$1" in
  thread_model) echo parallel ;;
  get_size) cat "$D/size" ;;
  can_write|can_flush) exit 0 ;;
  pread)
    wait_and_see bad-reads "$3" "$4"
    exec dd if="$D/backing" iflag=skip_bytes,count_bytes skip="$4" count="$3" bs=64k status=none ;;
  pwrite)
    wait_and_see bad-writes "$3" "$4"
    exec dd of="$D/backing" oflag=seek_bytes seek="$4" bs=64k conv=notrunc status=none ;;
  flush)
    wait_and_see none 0 0
    if [ -e "$D/bad-flush" ]; then echo "EIO the cache is lost" >&2; exit 1; fi ;;
  *) exit 2 ;;
esac
`;
const STEP_MS_MAX = 10_000;

/** A disk of zeroes that nothing fails on yet. Null after skipping: not root, no FUSE, or a tool is
 * missing. */
export async function badDisk(t: TestContext, options: BadDiskOptions): Promise<BadDisk | null> {
  const { sizeBytes, kind = 'file' } = options;
  assert.equal(sizeBytes % 4096, 0);
  if (!needRoot(t) || !needTool(t, 'nbdkit', 'nbdfuse', 'losetup', 'umount')) return null;
  if (!existsSync('/dev/fuse')) {
    assert.notEqual(process.env['HAST_REQUIRE_ALL'], '1', 'there is no /dev/fuse');
    t.skip('there is no /dev/fuse');
    return null;
  }
  const folder = mkdtempSync(join(tmpdir(), 'hast-bad-'));
  const parts = new Parts(folder);
  t.after(() => parts.end()); // one hook: what is mounted goes before the folder
  const backing = join(folder, 'backing');
  writeFileSync(backing, '');
  truncateSync(backing, sizeBytes);
  writeFileSync(join(folder, 'size'), `${sizeBytes}\n`);
  const script = join(folder, 'disk.sh');
  writeFileSync(script, SCRIPT);
  chmodSync(script, 0o700);
  const path = await parts.start(script, kind);
  const tell = (name: string, text: string | null): void => {
    const file = join(folder, name);
    if (text === null) {
      rmSync(file, { force: true });
      return;
    }
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file); // whoever reads it reads all of it
  };
  const range = (on: BadRange | null) => (on === null ? null : `${on.offset} ${on.length}\n`);
  const dropCache = (): void => {
    for (const cached of new Set([parts.file, path])) {
      const fd = openSync(cached, 'r');
      assert.equal(posixFadviseDontNeed(fd, 0, 0), 0);
      closeSync(fd);
    }
  };
  return {
    path,
    backing,
    dropCache,
    failReads: (on) => {
      tell('bad-reads', range(on));
      dropCache();
    },
    failWrites: (on) => tell('bad-writes', range(on)),
    failFlush: (on) => tell('bad-flush', on ? '' : null),
    hang: (on) => {
      if (on) dropCache();
      tell('hang', on ? '' : null);
    },
  };
}

/** The processes and mounts of one disk, and their end in the reverse order. */
class Parts {
  readonly file: string;
  readonly #folder: string;
  readonly #mount: string;
  readonly #children: ChildProcess[] = [];
  #loop: string | null = null;

  constructor(folder: string) {
    this.#folder = folder;
    this.#mount = join(folder, 'mnt');
    this.file = join(this.#mount, 'disk');
  }

  /** Returns the path of the disk. */
  async start(script: string, kind: 'file' | 'block'): Promise<string> {
    const socket = join(this.#folder, 'socket');
    mkdirSync(this.#mount);
    const server = this.#spawn('nbdkit', '-f', '--exit-with-parent', '-U', socket, 'sh', script);
    await comes('nbdkit', server, () => existsSync(socket));
    const fuse = this.#spawn('nbdfuse', this.file, '--unix', socket);
    await comes('nbdfuse', fuse, () => isMounted(this.#mount) && existsSync(this.file));
    if (kind === 'file') return this.file;
    // Past the page cache of the file below, or that would be taken for the medium.
    const made = run('losetup', '--direct-io=on', '--find', '--show', this.file);
    assert.equal(made.status, 0, `losetup: ${made.stderr}`);
    this.#loop = made.stdout.trim();
    return this.#loop;
  }

  /** Nothing may hang any more before anything is waited for. */
  async end(): Promise<void> {
    for (const name of ['hang', 'bad-flush', 'bad-reads', 'bad-writes']) {
      rmSync(join(this.#folder, name), { force: true });
    }
    if (this.#loop !== null) run('losetup', '--detach', this.#loop);
    if (isMounted(this.#mount) && run('umount', this.#mount).status !== 0) {
      run('umount', '--lazy', this.#mount);
    }
    for (const child of this.#children.reverse()) await stop(child);
    if (!isMounted(this.#mount)) rmSync(this.#folder, { recursive: true, force: true });
  }

  #spawn(command: string, ...args: string[]): ChildProcess {
    const child = spawn(command, args, { stdio: 'ignore' });
    child.on('error', () => {}); // `comes` sees that it is not there
    this.#children.push(child);
    return child;
  }
}

const run = (command: string, ...args: string[]) =>
  spawnSync(command, args, { encoding: 'utf8', timeout: STEP_MS_MAX });

const isMounted = (folder: string): boolean =>
  readFileSync('/proc/self/mounts', 'latin1').includes(` ${folder} `);

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null || child.pid === undefined;

async function comes(what: string, child: ChildProcess, test: () => boolean): Promise<void> {
  for (let waitedMs = 0; waitedMs < STEP_MS_MAX; waitedMs += 20) {
    if (test()) return;
    assert.ok(!hasEnded(child), `${what} has ended`);
    await sleep(20);
  }
  assert.fail(`${what}: not there within ten seconds`);
}

async function stop(child: ChildProcess): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (hasEnded(child)) return;
    child.kill(signal);
    await Promise.race([once(child, 'exit'), sleep(3000, undefined, { ref: false })]);
  }
}
