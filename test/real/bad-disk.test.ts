// The disk that fails to order does what it says, seen by direct calls: EIO where it was told and
// nowhere else, failed writes at once or by fdatasync, a hang that ends. And what our Device makes
// of it, and of content that changes behind the page cache.
import assert from 'node:assert/strict';
import { closeSync, fdatasyncSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MIB } from '../../src/base/units.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { badDisk } from './bad-disk.js';

const BLOCK = 4096;
const pattern = (fill: number, length = BLOCK): Buffer => Buffer.alloc(length, fill);

for (const kind of ['file', 'block'] as const) {
  test(`bad sectors of a ${kind}: EIO where they are and nowhere else`, async (t) => {
    const disk = await badDisk(t, { sizeBytes: 4 * MIB, kind });
    if (disk === null) return;
    const fd = openSync(disk.path, 'r+');
    t.after(() => closeSync(fd));
    writeSync(fd, pattern(7, MIB), 0, MIB, MIB);
    fdatasyncSync(fd);
    const behind = readFileSync(disk.backing);
    assert.ok(behind.subarray(MIB, 2 * MIB).equals(pattern(7, MIB)), 'a sync reaches the medium');
    disk.failReads({ offset: MIB + 2 * BLOCK, length: BLOCK });
    const into = Buffer.alloc(BLOCK);
    const block = (index: number) => readSync(fd, into, 0, BLOCK, MIB + index * BLOCK);
    for (const turn of [1, 2]) {
      assert.throws(() => block(2), { code: 'EIO' }, `turn ${turn}`);
      for (const good of [0, 1, 3, 4]) assert.equal(block(good), BLOCK, `block ${good}`);
      assert.ok(into.equals(pattern(7)));
    }
    disk.failReads(null);
    assert.equal(block(2), BLOCK, 'healed');
  });

  test(`failed writes and flushes of a ${kind}`, async (t) => {
    const disk = await badDisk(t, { sizeBytes: 4 * MIB, kind });
    if (disk === null) return;
    const fd = openSync(disk.path, 'r+');
    const late = openSync(disk.path, 'r+');
    disk.failWrites({ offset: 8192, length: 512 });
    writeSync(fd, pattern(1), 0, BLOCK, 0);
    fdatasyncSync(fd);
    const write = (): unknown => writeSync(fd, pattern(2), 0, BLOCK, 8192);
    if (kind === 'file') assert.throws(write, { code: 'EIO' });
    else {
      write(); // the page cache takes it
      assert.throws(() => fdatasyncSync(fd), { code: 'EIO' });
      fdatasyncSync(fd); // told once to each open file (H18)
      assert.throws(() => fdatasyncSync(late), { code: 'EIO' });
    }
    disk.failWrites(null);
    disk.failFlush(true);
    writeSync(fd, pattern(3), 0, BLOCK, 0);
    assert.throws(() => fdatasyncSync(fd), { code: 'EIO' });
    disk.failFlush(false);
    writeSync(fd, pattern(4), 0, BLOCK, 0);
    fdatasyncSync(fd);
    assert.equal(readFileSync(disk.backing)[0], 4);
    assert.equal(readFileSync(disk.backing)[8192], 0, 'what failed never came');
    closeSync(fd);
    closeSync(late);
  });

  test(`a ${kind} that hangs, and goes on`, async (t) => {
    const disk = await badDisk(t, { sizeBytes: MIB, kind });
    if (disk === null) return;
    const handle = await open(disk.path, 'r+');
    disk.hang(true);
    let done = false;
    const reading = handle.read(Buffer.alloc(BLOCK), 0, BLOCK, 64 * 1024).then(({ bytesRead }) => {
      done = true;
      return bytesRead;
    });
    await sleep(400);
    assert.equal(done, false, 'it hangs');
    disk.hang(false);
    assert.equal(await reading, BLOCK);
    await handle.close();
  });

  test(`our Device on a bad ${kind}: its errors have a place, the medium is asked`, async (t) => {
    const disk = await badDisk(t, { sizeBytes: 4 * MIB, kind });
    if (disk === null) return;
    const { path } = disk;
    const fd = openSync(path, 'r+');
    const device = openFileDevice(fd, path, kind, 4 * MIB, { ownsFd: true });
    device.writeNow(65_536, pattern(5, 65_536));
    await device.sync();
    disk.failReads({ offset: 65_536 + 5 * BLOCK, length: 512 });
    const chunk = Buffer.alloc(65_536);
    const fault = { code: 'DISK_FAILED', operation: 'read', path, offset: 65_536, errno: 'EIO' };
    for (const how of ['read', 'readAside', 'readMedium'] as const) {
      await assert.rejects(device[how](65_536, chunk), { fault }, how);
      await device[how](65_536 + 6 * BLOCK, chunk.subarray(0, BLOCK));
      assert.ok(chunk.subarray(0, BLOCK).equals(pattern(5)), how);
    }
    disk.failReads(null);
    await device.read(65_536, chunk); // the page cache has it now
    const backing = openSync(disk.backing, 'r+');
    writeSync(backing, Buffer.from([6]), 0, 1, 65_536 + 100); // a bit that rots
    closeSync(backing);
    await device.read(65_536, chunk);
    assert.equal(chunk[100], 5, 'RAM says all is well');
    await device.readMedium(65_536, chunk);
    assert.equal(chunk[100], 6, 'the medium does not');
    await device.close();
  });
}
