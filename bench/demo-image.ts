// The disk of the demonstration: an ext4 file system filled with files of this machine, or made
// from the seed where mkfs.ext4 is missing, or a sparse copy of the user's own image. Sizes are
// bytes. What lies outside the demonstration's folder is only read.
import { spawn } from 'node:child_process';
import { constants, type Dirent } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  rm,
  stat,
  statfs,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf } from '../src/base/errors.js';
import type { Random } from '../src/base/random.js';
import { BLOCK_BYTES, humanBytes, MIB } from '../src/base/units.js';
import { probeDisk } from '../src/disk/probe.js';
import type { Content } from './demo-content.js';
import { DemoError } from './demo-fault.js';

/** Folders with text, programs and compressed data on about every Linux. */
const CONTENT_FOLDERS = ['/usr/share', '/usr/lib'];
/** Smaller ones fill no disk and cost a system call each. */
const FILE_BYTES_MIN = 8 * 1024;
const FILE_BYTES_MAX = 8 * MIB;
const FILES_MAX = 6000;
/** Share of the disk that is filled with files; the rest is free space. */
const FILLED = 0.55;
/** Debian's users do not have these folders on their path. */
const TOOL_PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
/** Beside the copies of the disk: undo history, staging, spill, files for mkfs. */
const SLACK_BYTES = 512 * MIB;

/** Refuses what hastd would refuse, and too little room; returns the size of the disk. Errors
 * DISK_* (missing, qcow2 and other formats, size not a multiple of 512), DEMO_NO_SPACE. */
export async function checkRoom(
  image: string | null,
  sizeBytes: number,
  folder: string,
): Promise<number> {
  const size = image === null ? sizeBytes : probeDisk(image).sizeBytes;
  const blocks = image === null ? 0 : (await stat(image)).blocks;
  // A block device has no blocks of its own in stat.
  const usedBytes = blocks > 0 ? Math.min(size, blocks * 512) : size;
  const wantedBytes = 3 * usedBytes + SLACK_BYTES;
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < wantedBytes) {
    const [wanted, free] = [humanBytes(wantedBytes), humanBytes(bavail * bsize)];
    throw new DemoError({ code: 'DEMO_NO_SPACE', folder, wanted, free });
  }
  return size;
}

/** Makes the image at `path`; returns in words what it is. */
export async function makeImage(
  path: string,
  sizeBytes: number,
  parts: { readonly content: Content; readonly random: Random; readonly signal: AbortSignal },
): Promise<string> {
  const files = join(dirname(path), 'files');
  try {
    const count = await gather(files, FILLED * sizeBytes, parts.signal);
    await mkfs(path, files, sizeBytes, parts.signal);
    return `an ext4 file system with ${count} files of ${CONTENT_FOLDERS.join(' and ')}`;
  } catch (error) {
    if (parts.signal.aborted || (codeOf(error) !== 'ENOENT' && !isToolFault(error))) throw error;
    await rm(path, { force: true });
    await generate(path, sizeBytes, parts.content, parts.random);
    const why = error instanceof DemoError ? error.message : 'mkfs.ext4 is not installed';
    return `made from the seed: text, noise and holes (${why})`;
  } finally {
    await rm(files, { recursive: true, force: true });
  }
}

const isToolFault = (error: unknown): boolean => codeOf(error) === 'DEMO_TOOL_FAILED';

/** Copies as `cp --reflink=auto --sparse=always` does. */
export async function copyImage(from: string, to: string, signal?: AbortSignal): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw error; // else: this file system cannot share blocks
  }
  await rm(to, { force: true });
  const [source, sink] = [await open(from, 'r'), await open(to, 'wx', 0o600)];
  try {
    const piece = Buffer.alloc(MIB);
    let at = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await source.read(piece, 0, MIB, at);
      if (bytesRead === 0) break;
      await writeSparse(sink, piece.subarray(0, bytesRead), at);
      at += bytesRead;
    }
    await sink.truncate(at);
  } finally {
    await source.close();
    await sink.close();
  }
}

const ZEROES = Buffer.alloc(64 * 1024);

/** Leaves pieces of 64 KiB that are zero as holes. */
async function writeSparse(sink: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += ZEROES.length) {
    const piece = bytes.subarray(at, at + ZEROES.length);
    if (piece.equals(ZEROES.subarray(0, piece.length))) continue;
    await sink.write(piece, 0, piece.length, offset + at);
  }
}

/** Copies readable files, in turn from each folder, until `bytesMax`; returns how many. */
async function gather(into: string, bytesMax: number, signal: AbortSignal): Promise<number> {
  const walks = CONTENT_FOLDERS.map((folder) => filesBelow(folder));
  let [bytes, count] = [0, 0];
  await mkdir(into, { recursive: true });
  while (walks.length > 0 && count < FILES_MAX) {
    signal.throwIfAborted();
    const walk = walks.shift();
    const next = await walk?.next();
    if (walk === undefined || next === undefined || next.done === true) continue;
    walks.push(walk);
    const path = next.value;
    const { size } = await lstat(path).catch(() => ({ size: 0 }));
    // ext4 stores whole blocks.
    const stored = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    if (size < FILE_BYTES_MIN || size > FILE_BYTES_MAX || bytes + stored > bytesMax) continue;
    const to = join(into, path);
    await mkdir(dirname(to), { recursive: true });
    const copied = await copyFile(path, to, constants.COPYFILE_FICLONE).then(
      () => true,
      () => false, // not readable for this user
    );
    if (copied) count += 1;
    if (copied) bytes += stored;
    if (bytes > bytesMax - MIB) break;
  }
  return count;
}

/** Regular files, in the order of their names. */
async function* filesBelow(folder: string): AsyncGenerator<string> {
  const entries: Dirent[] = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries.sort((x, y) => (x.name < y.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isFile()) yield path;
    else if (entry.isDirectory()) yield* filesBelow(path);
  }
}

/** Errors ENOENT (no such program), DEMO_TOOL_FAILED. */
async function mkfs(path: string, files: string, sizeBytes: number, signal: AbortSignal) {
  const sectors = `${Math.floor(sizeBytes / 1024)}k`;
  const child = spawn('mkfs.ext4', ['-q', '-F', '-d', files, path, sectors], {
    env: { ...process.env, PATH: TOOL_PATH },
    stdio: ['ignore', 'ignore', 'pipe'],
    signal,
  });
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => {
    said += bytes.toString('utf8');
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  const text = said.trim().split('\n').at(-1) || `status ${status}`;
  if (status !== 0) throw new DemoError({ code: 'DEMO_TOOL_FAILED', tool: 'mkfs.ext4', text });
  const handle = await open(path, 'r+');
  await handle.truncate(sizeBytes); // mkfs counts in KiB
  await handle.close();
}

/** A third each of text, noise and holes, in pieces of 1 MiB. */
async function generate(path: string, sizeBytes: number, content: Content, random: Random) {
  const sink = await open(path, 'wx', 0o600);
  try {
    for (let at = 0; at < sizeBytes; at += MIB) {
      const length = Math.min(MIB, sizeBytes - at);
      const kind = random.below(3);
      if (kind === 2) continue;
      const bytes = kind === 0 ? content.text(length) : content.noise(length);
      await sink.write(bytes, 0, length, at);
    }
    await sink.truncate(sizeBytes);
  } finally {
    await sink.close();
  }
}
