// Whether a path may be restored to, as a table; and the mark of an unfinished restore.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeOf, describeError } from '../../src/base/errors.js';
import type { Files } from '../../src/base/files.js';
import { nodeFiles } from '../../src/base/node-files.js';
import { openLocked } from '../../src/disk/lock.js';
import { reserveSpace } from '../../src/disk/syscalls.js';
import { type Found, openDestination, planRestore } from '../../src/restore/destination.js';
import {
  readUnfinished,
  removeUnfinished,
  unfinishedPath,
  writeUnfinished,
} from '../../src/restore/unfinished.js';
import { scratch } from '../real.js';

const SIZE = 1024 * 1024;
const mark = (number: number) => ({
  hastRestore: 1 as const,
  archive: 'file:///mnt/hast/vm1',
  point: { id: `${number}`.padStart(32, '0'), number, time: '2026-11-20T02:00:00.000Z' },
  sizeBytes: SIZE,
});
const file: Found = { path: '/srv/x.img', kind: 'file', sizeBytes: SIZE, inode: '7', born: '5' };
const device: Found = { path: '/dev/vg/x', kind: 'block', sizeBytes: SIZE, inode: '0', born: null };
const left = (number: number, inode = '7', born: string | null = '5') => ({
  ...mark(number),
  inode,
  born,
});
const no = { delta: false, command: 'hastctl restore URL PATH --delta' };
const yes = { ...no, delta: true };
const files = nodeFiles(reserveSpace);

test('what is done with what is there', () => {
  const table: readonly (readonly [
    Found | null,
    ReturnType<typeof left> | null,
    string,
    string,
  ])[] = [
    // what is there, its mark, without --delta, with it
    [null, null, 'make', 'make'],
    [null, left(2), 'make', 'make'],
    [file, null, 'RESTORE_EXISTS', 'delta'],
    [{ ...file, sizeBytes: 0 }, null, 'make', 'delta'],
    [{ ...file, sizeBytes: 0 }, left(2, '8'), 'make', 'delta'],
    [{ ...file, sizeBytes: 0 }, left(1), 'go-on', 'go-on'],
    [{ ...file, sizeBytes: 0 }, left(2), 'RESTORE_OTHER', 'delta'],
    [file, left(1), 'go-on', 'go-on'],
    [file, left(2), 'RESTORE_OTHER', 'delta'],
    [file, left(1, '8'), 'RESTORE_EXISTS', 'delta'],
    // The number of an inode that was free again; and one of a file system without births.
    [file, left(1, '7', '6'), 'RESTORE_EXISTS', 'delta'],
    [file, left(1, '7', null), 'RESTORE_EXISTS', 'delta'],
    [{ ...file, born: null }, left(1, '7', null), 'RESTORE_EXISTS', 'delta'],
    [device, null, 'RESTORE_EXISTS', 'delta'],
    [{ ...device, sizeBytes: SIZE + 512 }, null, 'RESTORE_EXISTS', 'delta'],
    [{ ...device, sizeBytes: SIZE - 512 }, null, 'RESTORE_TOO_SMALL', 'RESTORE_TOO_SMALL'],
  ];
  for (const [found, has, without, withDelta] of table) {
    for (const [ordered, wanted] of [
      [no, without],
      [yes, withDelta],
    ] as const) {
      let plan: string | null;
      try {
        plan = planRestore(found, has, mark(1), ordered);
      } catch (error) {
        plan = codeOf(error);
      }
      assert.equal(plan, wanted, JSON.stringify([found, has, ordered]));
    }
  }
});

test('a refusal names both points, or sizes, and what to type', () => {
  const text = (found: Found, has: ReturnType<typeof left> | null): string => {
    try {
      return planRestore(found, has, mark(1), no);
    } catch (error) {
      return describeError(error);
    }
  };
  assert.match(text(file, left(2)), /vm1@2.*vm1@1.*: hastctl restore URL PATH --delta$/);
  assert.match(text(device, null), /block device of 1.0 MiB.*: hastctl restore URL PATH --delta$/);
  const small = text({ ...device, sizeBytes: SIZE - 512 }, null);
  assert.match(small, new RegExp(`${SIZE - 512} bytes.*${SIZE} `));
});

test('a mark comes back as it was; what is no mark is an error, and not replaced', async (t) => {
  const path = join(scratch(t), 'x.img');
  assert.equal(await readUnfinished(files, path), null);
  await writeUnfinished(files, path, left(3));
  assert.deepEqual(await readUnfinished(files, path), left(3));
  await removeUnfinished(files, path);
  assert.equal(await readUnfinished(files, path), null);
  for (const text of ['mine', '{"hastRestore":2}', '']) {
    writeFileSync(unfinishedPath(path), text);
    await assert.rejects(readUnfinished(files, path), (error) => codeOf(error) === 'FORMAT_BAD');
    await assert.rejects(openDestination(files, path, mark(1), yes), /left alone|no JSON/);
    assert.equal(readFileSync(unfinishedPath(path), 'utf8'), text);
  }
});

test('a new file has its size and its mark at once, and nobody else may have it', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'x.img');
  const made = await openDestination(files, path, mark(1), no);
  assert.equal(made.how, 'make');
  assert.equal(statSync(path).size, SIZE);
  assert.equal((await readUnfinished(files, path))?.inode, String(statSync(path).ino));
  await assert.rejects(openDestination(files, path, mark(1), no), /in use by/);
  await made.close();
  const again = await openDestination(files, path, mark(1), no);
  assert.equal(again.how, 'go-on');
  await again.finish();
  await again.close();
  assert.deepEqual(readdirSync(folder), ['x.img']);
});

test('a crash before the mark leaves an empty file; that one is filled', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'x.img');
  let sizeBefore = -1;
  const watching: Files = Object.assign(Object.create(files), {
    rename: (from: string, to: string) => {
      sizeBefore = statSync(path).size;
      return files.rename(from, to);
    },
  });
  await (await openDestination(watching, path, mark(1), no)).close();
  assert.equal(sizeBefore, 0, 'it has its size only when it has its mark');
  const other = join(folder, 'y.img');
  writeFileSync(other, '');
  const opened = await openDestination(files, other, mark(1), no);
  assert.deepEqual([opened.how, statSync(other).size], ['make', SIZE]);
  assert.equal((await readUnfinished(files, other))?.inode, String(statSync(other).ino));
  await opened.close();
});

test('another file in the place of an unfinished restore is not overwritten', async (t) => {
  const path = join(scratch(t), 'x.img');
  await (await openDestination(files, path, mark(1), no)).close();
  const { ino } = statSync(path);
  rmSync(path);
  writeFileSync(path, Buffer.alloc(SIZE, 1));
  t.diagnostic(statSync(path).ino === ino ? 'it has the same inode' : 'it has another inode');
  await assert.rejects(openDestination(files, path, mark(1), no), (error) => {
    return codeOf(error) === 'RESTORE_EXISTS';
  });
  assert.ok(readFileSync(path).equals(Buffer.alloc(SIZE, 1)));
});

test('an existing file gets exactly the size of the point, larger or smaller', async (t) => {
  const path = join(scratch(t), 'x.img');
  for (const bytes of [0, 100, SIZE + 512, 2 * SIZE]) {
    writeFileSync(path, Buffer.alloc(bytes, 1));
    const opened = await openDestination(files, path, mark(1), yes);
    assert.equal(opened.how, 'delta');
    assert.equal(statSync(path).size, SIZE);
    await opened.finish();
    await opened.close();
  }
});

test('a disk in use, a folder and a missing device are refused', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'x.img');
  writeFileSync(path, Buffer.alloc(SIZE));
  const held = openLocked(path);
  await assert.rejects(openDestination(files, path, mark(1), yes), /in use by/);
  held.close();
  assert.deepEqual(readdirSync(folder), ['x.img'], 'no mark was made');
  await assert.rejects(openDestination(files, folder, mark(1), yes), /directory, not a regular/);
  const none = openDestination(files, '/dev/hast-no-such-volume', mark(1), yes);
  await assert.rejects(none, (error) => codeOf(error) === 'RESTORE_NO_DEVICE');
  symlinkSync(join(folder, 'nowhere'), join(folder, 'link'));
  await assert.rejects(openDestination(files, join(folder, 'link'), mark(1), no), /EEXIST/);
});
