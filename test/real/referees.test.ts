// Independent clients as referees: what QEMU, libnbd and fio write through a primary's export, they
// read back, and after a round it is the replica's disk too, byte for byte.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { needTool } from '../real.js';
import { assertSameImages, MIB, makeImage, qemuIo, succeed } from './images.js';
import { finish, type Pair, startPair } from './nodes.js';
import { nothingLost } from './steps.js';

const DISK_BYTES = 40 * MIB + 512;
const PYTHON = '/usr/bin/python3';

/** Writes, zeroes, trims, two handles and FUA with libnbd; every answer is checked. */
const LIBNBD = `
import nbd, random, sys
uri, size = sys.argv[1], int(sys.argv[2])
random.seed(7)
a, b = nbd.NBD(), nbd.NBD()
a.connect_uri(uri); b.connect_uri(uri)
assert a.get_size() == size and a.can_multi_conn() and a.can_fua() and a.can_trim()
want = bytearray(a.pread(8 << 20, 0))
for i in range(300):
    h = (a, b)[i % 2]
    at, n = random.randrange(0, 8 << 20), random.choice([1, 511, 512, 4096, 65536, 100000])
    n = min(n, (8 << 20) - at)
    if i % 10 == 9:
        h.zero(n, at, nbd.CMD_FLAG_NO_HOLE if i % 20 == 9 else 0); want[at:at+n] = bytes(n)
    else:
        data = random.randbytes(n)
        h.pwrite(data, at, nbd.CMD_FLAG_FUA if i % 7 == 0 else 0); want[at:at+n] = data
    assert (b, a)[i % 2].pread(n, at) == want[at:at+n], 'the other connection sees it'
a.trim(1 << 20, 16 << 20)
a.pwrite(b'end', size - 3)
assert b.pread(3, size - 3) == b'end'
a.flush()
assert b.pread(8 << 20, 0) == want
for offset, count in ((size, 1), (size - 1, 2)):
    try: a.pread(count, offset); raise SystemExit('read past the end')
    except nbd.Error as e: assert e.errno in ('EINVAL', None), e.errno
a.set_strict_mode(0)
for call in (lambda: a.pwrite(b'xx', size - 1), lambda: a.pread(2, size - 1)):
    try: call(); raise SystemExit('the server took what is past the end')
    except nbd.Error as e: assert e.errno in ('EINVAL', 'ENOSPC'), e.errno
assert a.pread(3, size - 3) == b'end', 'a refused request changes nothing'
a.shutdown(); b.shutdown()
`;

const referee = (
  t: TestContext,
  name: string,
  tools: string[],
  work: (t: TestContext) => Promise<void>,
): Promise<void> =>
  t.test(name, async (inner) => {
    if (needTool(inner, ...tools)) await work(inner);
  });

async function python(pair: Pair): Promise<void> {
  const script = join(pair.folder, 'libnbd.py');
  writeFileSync(script, LIBNBD);
  await succeed(PYTHON, script, pair.a.nbdUri, String(DISK_BYTES));
}

async function fio(pair: Pair): Promise<void> {
  const common = ['--ioengine=nbd', `--uri=${pair.a.nbdUri}`, '--verify=crc32c', '--do_verify=1'];
  await succeed(
    'fio',
    ...common,
    ...['--name=guest', '--rw=randwrite', '--bsrange=512-64k', '--bs_unaligned=0', '--size=24m'],
    ...['--iodepth=16', '--fsync=64', '--verify_fatal=1', '--randseed=5', '--output-format=terse'],
    `--aux-path=${pair.folder}`,
  );
}

test('referees: NBD clients of others, and the replica after a round', async (t) => {
  if (!needTool(t, 'qemu-io')) return;
  const pair = await startPair(t, { sizeBytes: DISK_BYTES });
  const { a, folder } = pair;

  await referee(t, 'nbdinfo sees the disk as offered', ['nbdinfo'], async () => {
    const { json } = await succeed('nbdinfo', '--json', a.nbdUri);
    const [found] = (json as { exports: Record<string, unknown>[] }).exports;
    assert.equal(found?.['export-size'], DISK_BYTES);
    for (const can of ['can_flush', 'can_fua', 'can_trim', 'can_zero', 'can_multi_conn']) {
      assert.equal(found?.[can], true, can);
    }
    assert.equal(found?.['block_size_maximum'], 32 * MIB);
    const list = await succeed('nbdinfo', '--list', `nbd+unix://?socket=${a.nbdSocket}`);
    assert.match(list.stdout, /export="vm1"/);
  });
  await referee(t, 'nbdcopy in and out', ['nbdcopy'], async () => {
    makeImage(join(folder, 'in'), DISK_BYTES, 24 * MIB, 11);
    await succeed('nbdcopy', '--flush', '--connections=4', join(folder, 'in'), a.nbdUri);
    await nothingLost(pair);
    assertSameImages(join(folder, 'in'), a.image);
    await succeed('nbdcopy', a.nbdUri, join(folder, 'out'));
    assertSameImages(join(folder, 'in'), join(folder, 'out'));
  });
  await referee(t, 'qemu-img convert and compare, qemu-io', ['qemu-img'], async () => {
    const source = join(folder, 'convert');
    makeImage(source, DISK_BYTES, 9 * MIB, 12);
    await succeed('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, a.nbdUri);
    await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, a.nbdUri);
    await qemuIo(
      a.nbdUri,
      'write -P 0x11 0 64k',
      'write -f -P 0x22 4k 4k',
      'write -z 8k 4k',
      'write -zu 12k 4k',
      'discard 1M 3M',
      'write -P 0x33 40M 512',
      'aio_write -P 0x44 20M 1M',
      'aio_write -P 0x45 21M 1M',
      'aio_flush',
      'flush',
      'read -P 0x22 4k 4k',
      'read -P 0 8k 8k',
      'read -P 0x33 40M 512',
    );
    const differs = await finish('qemu-img', [
      'compare',
      '-f',
      'raw',
      '-F',
      'raw',
      source,
      a.nbdUri,
    ]);
    assert.equal(differs.status, 1, 'qemu-img sees what qemu-io wrote');
    await nothingLost(pair);
  });
  await referee(t, "libnbd's Python on two connections", [PYTHON], async (inner) => {
    const found = await finish(PYTHON, ['-c', 'import nbd']);
    if (found.status !== 0) return void needTool(inner, 'python3-libnbd');
    await python(pair);
    await nothingLost(pair);
  });
  await referee(t, "fio's nbd engine with verify=crc32c", ['fio'], async () => {
    await fio(pair);
    await nothingLost(pair);
  });
  const verified = await a.control.verify('vm1', true, new AbortController().signal);
  assert.equal(verified.results[0]?.differing, 0);
});
