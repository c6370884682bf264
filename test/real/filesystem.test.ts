// A real kernel file system on the export, and block devices as local disks. ext4 through nbdfuse
// and a loop device exercises FLUSH and TRIM as a guest does; the replica's image is then a file
// system that fsck calls clean and that holds the same files.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { needRoot, needTool } from '../real.js';
import { holds, MIB, makeImage, qemuIo, seededBytes, succeed } from './images.js';
import { attachExport, loopDevice } from './mounts.js';
import { makePair, startPair } from './nodes.js';
import { nothingLost, round } from './steps.js';

const LIMITED = ['timeout', '30'] as const;

function needFuse(t: TestContext): boolean {
  if (existsSync('/dev/fuse')) return true;
  assert.notEqual(process.env['HAST_REQUIRE_ALL'], '1', 'HAST_REQUIRE_ALL=1, but no /dev/fuse');
  t.skip('there is no /dev/fuse');
  return false;
}

test('ext4 on the export: the replica is a clean file system with the same files', async (t) => {
  if (!needTool(t, 'nbdfuse', 'losetup', 'mkfs.ext4', 'e2fsck', 'debugfs', 'fstrim')) return;
  if (!needRoot(t) || !needFuse(t)) return;
  const pair = await startPair(t, { sizeBytes: 64 * MIB });
  const { a, b, folder } = pair;
  const disk = await attachExport(t, a.nbdUri);
  await succeed(...LIMITED, 'mkfs.ext4', '-q', '-E', 'nodiscard', disk.device);
  await disk.mount();
  const contents = new Map<string, Buffer>();
  for (let number = 0; number < 40; number += 1) {
    contents.set(`file${number}`, seededBytes(100 + number, 1000 + number * 12_345));
  }
  for (const [name, bytes] of contents) writeFileSync(join(disk.folder, name), bytes);
  writeFileSync(join(disk.folder, 'gone'), seededBytes(1, 8 * MIB));
  await succeed(...LIMITED, 'sync', '-f', disk.folder);
  assert.equal(await round(a), 'applied');
  // Between rounds: rewritten, removed and trimmed, as in a day of a guest.
  contents.set('file3', seededBytes(999, 300_000));
  writeFileSync(join(disk.folder, 'file3'), seededBytes(999, 300_000));
  rmSync(join(disk.folder, 'gone'));
  await succeed(...LIMITED, 'sync', '-f', disk.folder);
  await succeed(...LIMITED, 'fstrim', disk.folder);
  assert.equal(await round(a), 'applied');
  await disk.unmount();
  await nothingLost(pair);

  const { resources } = await a.control.status(['vm1']);
  assert.ok((resources[0]?.counters?.deletes ?? 0) > 0, 'fstrim has come through as TRIM');
  assert.ok((resources[0]?.counters?.flushes ?? 0) > 0, 'sync has come through as FLUSH');
  await succeed('e2fsck', '-fn', b.image);
  for (const [name, bytes] of contents) {
    const copy = join(folder, `replica-${name}`);
    await succeed('debugfs', '-R', `dump /${name} ${copy}`, b.image);
    assert.ok(readFileSync(copy).equals(bytes), name);
  }
});

test('block devices as local disks on both nodes', async (t) => {
  if (!needTool(t, 'losetup', 'qemu-io') || !needRoot(t)) return;
  const pair = await makePair(t, { sizeBytes: 0 });
  const { a, b, config } = pair;
  makeImage(a.image, 24 * MIB, 6 * MIB, 5);
  makeImage(b.image, 32 * MIB, 32 * MIB, 6); // larger, as an LV is rounded up (H14)
  const before = readFileSync(b.image).subarray(24 * MIB);
  const devices = [await loopDevice(t, a.image), await loopDevice(t, b.image)];
  const [first = '', second = ''] = devices;
  const text = readFileSync(config, 'utf8');
  writeFileSync(config, text.replace(a.image, first).replace(b.image, second));
  await Promise.all([a.hastd(), b.hastd()]);
  await a.ask('create', 'vm1');
  await b.ask('create', 'vm1', '-m', String(24 * MIB));
  await b.ask('role', 'secondary', 'vm1');
  await a.ask('role', 'primary', 'vm1');
  const busy = await a.ctl('create', '--force', 'vm1');
  assert.equal(busy.status, 2, 'a disk in use is not created anew');
  assert.equal(await round(a), 'applied');
  await qemuIo(a.nbdUri, 'write -P 0x77 1M 300k', 'discard 3M 2M', 'write -z 6M 1M', 'flush');
  assert.equal(await round(a), 'applied');
  const verified = await a.control.verify('vm1', true, new AbortController().signal);
  assert.equal(verified.results[0]?.differing, 0, verified.results[0]?.text);
  assert.equal(await a.kill('SIGTERM'), 0);
  assert.equal(await b.kill('SIGTERM'), 0);
  await succeed('blockdev', '--flushbufs', second);
  assert.ok(holds(b.image, 0x77, MIB, 300 * 1024));
  assert.ok(holds(b.image, 0, 3 * MIB, 2 * MIB), 'trimmed bytes read as zeroes on both');
  const [one, two] = [readFileSync(a.image), readFileSync(b.image)];
  assert.ok(one.equals(two.subarray(0, one.length)), 'the devices hold the same');
  assert.ok(two.subarray(24 * MIB).equals(before), 'bytes beyond the resource are never written');
});
