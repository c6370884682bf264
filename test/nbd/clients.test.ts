// Real NBD clients as referees: QEMU's, libnbd's, fio's. The server runs in this process.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { seededRandom, systemRandom } from '../../src/base/random.js';
import { needTool } from '../real.js';
import { MemoryDisk, type Pace } from './memory-disk.js';
import { mustRun, needLibnbd, PYTHON, run } from './run.js';
import { eventually, startServer } from './server.js';

const MIB = 1024 * 1024;

function randomImage(t: TestContext, bytes: number): Buffer {
  const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
  t.diagnostic(`HAST_SEED=${seed}`);
  const image = Buffer.alloc(bytes);
  const random = seededRandom(seed);
  // Every other 256 KiB stays a hole, so that sparse copies have something to skip.
  for (let at = 0; at < bytes; at += 512 * 1024)
    image.set(random.bytes(Math.min(65_536, bytes - at)), at);
  return image;
}

test('nbdinfo lists the exports and their sizes', async (t) => {
  if (!needTool(t, 'nbdinfo')) return;
  const disks = { vm1: new MemoryDisk(10 * MIB + 512), old: new MemoryDisk(MIB, true) };
  const server = await startServer(t, disks);
  assert.equal((await mustRun(t, 'nbdinfo', '--size', server.uri('vm1'))).trim(), '10486272');
  const list = await mustRun(t, 'nbdinfo', '--list', server.uri(''));
  assert.match(list, /export="vm1"/);
  assert.match(list, /export="old"/);
  const info = await mustRun(t, 'nbdinfo', server.uri('vm1'));
  for (const fact of [
    'protocol: newstyle-fixed without TLS, using structured packets',
    'can_multi_conn: true',
    'can_fua: true',
    'can_flush: true',
    'can_trim: true',
    'can_zero: true',
    'can_fast_zero: true',
    'can_cache: true',
    'can_df: true',
    'is_read_only: false',
    'block_size_minimum: 1',
    'block_size_preferred: 4096',
    'block_size_maximum: 33554432',
  ]) {
    assert.ok(info.includes(fact), `${fact} is missing in ${info}`);
  }
  assert.match(await mustRun(t, 'nbdinfo', server.uri('old')), /is_read_only: true/);
  const { status, out } = await run(t, 'nbdinfo', server.uri('nobody'));
  assert.notEqual(status, 0);
  assert.match(out, /for export: nobody/);
});

test('nbdcopy copies both ways', async (t) => {
  if (!needTool(t, 'nbdcopy')) return;
  const disk = new MemoryDisk(40 * MIB + 512);
  disk.pace = 'mixed';
  const server = await startServer(t, { vm1: disk });
  const image = randomImage(t, disk.sizeBytes);
  const file = join(server.folder, 'image');
  writeFileSync(file, image);
  await mustRun(t, 'nbdcopy', '--flush', file, server.uri('vm1'));
  assert.ok(disk.content.equals(image));
  assert.ok(server.connections.length > 1, 'it used several connections');
  const back = join(server.folder, 'back');
  await mustRun(t, 'nbdcopy', server.uri('vm1'), back);
  assert.ok(readFileSync(back).equals(image));
});

test('qemu-io writes, reads, zeroes and discards; qemu-img compares', async (t) => {
  if (!needTool(t, 'qemu-io', 'qemu-img')) return;
  const disk = new MemoryDisk(16 * MIB);
  const server = await startServer(t, { vm1: disk });
  const out = await mustRun(
    t,
    'qemu-io',
    ...['-f', 'raw', '-t', 'writeback'],
    ...['-c', 'write -P 0xab 4k 1M', '-c', 'write -f -P 0xcd 3M 64k'],
    ...['-c', 'write -z -u 1M 64k', '-c', 'write -z 2M 4k', '-c', 'discard 8M 1M'],
    ...['-c', 'aio_write -P 0x11 10M 2M', '-c', 'aio_write -P 0x22 12M 100', '-c', 'aio_flush'],
    ...['-c', 'read -P 0xab 4k 1020k', '-c', 'read -P 0 1M 64k', '-c', 'read -P 0x11 10M 2M'],
    ...['-c', 'read -P 0x22 12M 100', '-c', 'flush'],
    server.uri('vm1'),
  );
  assert.ok(!/failed|error/i.test(out), out);
  const file = join(server.folder, 'image');
  writeFileSync(file, disk.content);
  await mustRun(t, 'qemu-img', 'compare', '-f', 'raw', '-F', 'raw', file, server.uri('vm1'));
  disk.content[16 * MIB - 1] = 1;
  const { status } = await run(t, 'qemu-img', 'compare', file, server.uri('vm1'));
  assert.equal(status, 1);
  assert.ok(server.counters.flushes > 0 && server.counters.deletes >= 3);
});

const LIBNBD = `
import nbd, sys
a = nbd.NBD(); a.connect_uri(sys.argv[1])
b = nbd.NBD(); b.connect_uri(sys.argv[1])
assert a.can_multi_conn() and a.get_size() == 8 * 1024 * 1024
a.pwrite(b'x' * 5000, 1000, nbd.CMD_FLAG_FUA)
assert b.pread(5000, 1000) == b'x' * 5000
b.zero(2000, 2000, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)
assert a.pread(2000, 2000) == bytes(2000) and a.pread(1, 1999) == b'x'
a.trim(4096, 1024 * 1024, nbd.CMD_FLAG_FUA)
b.flush()
a.set_strict_mode(0)
def fails(error, call, *args):
    try:
        call(*args)
    except nbd.Error as e:
        assert e.errno == error, (e.errno, error)
    else:
        raise AssertionError((error, args))
fails('ENOSPC', a.pwrite, b'y' * 1024, 8 * 1024 * 1024 - 512)
fails('EINVAL', a.pread, 1024, 8 * 1024 * 1024 - 512)
fails('EINVAL', a.trim, 1024, 8 * 1024 * 1024 - 512)
fails('EINVAL', a.cache, 8 * 1024 * 1024 - 512, 1024)
a.cache(4096, 0)
block = lambda i: nbd.Buffer.from_bytearray(bytearray([i] * 4096))
cookies = [a.aio_pwrite(block(i), i * 4096) for i in range(64)]
while a.aio_in_flight(): a.poll(-1)
for i in range(64): assert b.pread(4096, i * 4096) == bytes([i] * 4096)
c = nbd.NBD(); c.connect_uri(sys.argv[2])
assert c.is_read_only()
c.set_strict_mode(0)
fails('EPERM', c.pwrite, b'z' * 512, 0)
fails('EPERM', c.zero, 512, 0)
assert c.pread(512, 0) == bytes(512)
for h in (a, b, c): h.shutdown()
`;

test('libnbd: FUA, zero, trim, flush, errors, two connections', async (t) => {
  if (!(await needLibnbd(t))) return;
  for (const pace of ['done', 'mixed'] as Pace[]) {
    const disk = new MemoryDisk(8 * MIB);
    disk.pace = pace;
    const server = await startServer(t, { vm1: disk, old: new MemoryDisk(MIB, true) });
    await mustRun(t, PYTHON, '-c', LIBNBD, server.uri('vm1'), server.uri('old'));
    assert.ok(disk.callsOf('flush').length >= 4);
    assert.ok(disk.callsOf('zero').every((one) => one.mayPunch === false));
    await eventually(() => server.ends.length === 3, 'all connections ended');
    assert.deepEqual(server.ends, ['disconnected', 'disconnected', 'disconnected']);
  }
});

for (const pace of ['done', 'mixed'] as Pace[]) {
  test(`fio verifies what it wrote, ${pace}`, async (t) => {
    if (!needTool(t, 'fio')) return;
    const disk = new MemoryDisk(32 * MIB);
    disk.pace = pace;
    const server = await startServer(t, { vm1: disk });
    const uri = `--uri=${server.uri('vm1')}`;
    const common = ['--ioengine=nbd', uri, '--verify=crc32c', '--verify_state_save=0'];
    const { status, out } = await run(
      t,
      'fio',
      ...['--name=small', ...common, '--rw=randwrite', '--bs=4k', '--iodepth=16', '--size=8m'],
      ...['--name=odd', ...common, '--rw=randwrite', '--bsrange=512-1536k', '--bs_unaligned'],
      ...['--iodepth=6', '--offset=8m', '--size=24m', '--fsync=8'],
    );
    if (status !== 0 && /engine nbd not loadable|failed to load engine/.test(out)) {
      assert.notEqual(process.env['HAST_REQUIRE_ALL'], '1', out);
      return t.skip('fio has no nbd engine');
    }
    assert.equal(status, 0, out);
    assert.ok(!/verify: bad|verify failed/.test(out), out);
    assert.ok(server.counters.reads > 2000, 'it read back what it wrote');
  });
}
