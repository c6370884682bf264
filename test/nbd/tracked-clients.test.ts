// Real NBD clients on a real tracked disk: maps, dirty bitmaps and sparse copies by structured
// replies, FAST_ZERO, CACHE, DF, and the same without structured replies.
import assert from 'node:assert/strict';
import { closeSync, fdatasyncSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { needTool } from '../real.js';
import { mustRun, needLibnbd, PYTHON } from './run.js';
import { startServer, type TestServer } from './server.js';
import { type Tracked, trackedFile } from './tracked.js';

const K = 1024;
const MIB = K * K;
const SIZE_BYTES = 64 * MIB;
/** Where the disk has data, in MiB: from, to. Holes between them. */
const DATA: readonly [number, number][] = [
  [1, 2],
  [10, 26],
  [63, 64],
];

interface Served extends TestServer {
  readonly tracked: Tracked;
}

/** A sparse disk with data in places, served by one of its two threads' disks at `vm1`. */
async function serve(t: TestContext, filled = true): Promise<Served> {
  const tracked = trackedFile(t, SIZE_BYTES);
  const { disks } = tracked;
  const random = seededRandom(7);
  const fd = openSync(tracked.path, 'r+');
  if (filled) {
    for (const [from, to] of DATA) {
      for (let at = from; at < to; at += 1) writeSync(fd, random.bytes(MIB), 0, MIB, at * MIB);
    }
  }
  fdatasyncSync(fd);
  closeSync(fd);
  return { ...(await startServer(t, { vm1: disks[0] })), tracked };
}

interface MapEntry {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

async function nbdMap(t: TestContext, server: TestServer, context: string): Promise<MapEntry[]> {
  const uri = server.uri('vm1');
  return JSON.parse(await mustRun(t, 'nbdinfo', '--json', `--map=${context}`, uri));
}

const shape = (entries: readonly MapEntry[]): string[] =>
  entries.map(({ offset, length, type }) => `${offset / K}+${length / K}:${type}`);
const allocated = (path: string): number => statSync(path).blocks * 512;
const HOLES_AND_DATA = [
  '0+1024:3',
  '1024+1024:0',
  '2048+8192:3',
  '10240+16384:0',
  '26624+37888:3',
  '64512+1024:0',
];

test('nbdinfo: capabilities, contexts, maps', async (t) => {
  if (!needTool(t, 'nbdinfo')) return;
  const server = await serve(t);
  const { disks, core } = server.tracked;
  const [info] = JSON.parse(await mustRun(t, 'nbdinfo', '--json', server.uri('vm1'))).exports;
  assert.deepEqual(info.contexts, [
    'base:allocation',
    'qemu:dirty-bitmap:b',
    'qemu:dirty-bitmap:c',
  ]);
  for (const can of ['cache', 'df', 'fast_zero', 'flush', 'fua', 'multi_conn', 'trim', 'zero']) {
    assert.equal(info[`can_${can}`], true, can);
  }
  assert.deepEqual(shape(await nbdMap(t, server, 'base:allocation')), HOLES_AND_DATA);
  assert.deepEqual(shape(await nbdMap(t, server, 'qemu:dirty-bitmap:b')), ['0+65536:0']);

  core.slots[0]?.maps[0]?.mark(256, 511);
  disks[1].write(40 * MIB, new Uint8Array(4096));
  await disks[0].trim(10 * MIB, 8 * MIB);
  const dirty = ['10240+8192:1', '18432+22528:0', '40960+4:1', '40964+24572:0'];
  assert.deepEqual(shape(await nbdMap(t, server, 'qemu:dirty-bitmap:b')), [
    '0+1024:0',
    '1024+1024:1',
    '2048+8192:0',
    ...dirty,
  ]);
  assert.deepEqual(shape(await nbdMap(t, server, 'qemu:dirty-bitmap:c')), ['0+10240:0', ...dirty]);
  const after = shape(await nbdMap(t, server, 'base:allocation'));
  assert.ok(after.includes('2048+16384:3') && after.includes('40960+4:0'), after.join(' '));
});

test('qemu-img: map, a dirty bitmap as a map, and a sparse copy', async (t) => {
  if (!needTool(t, 'qemu-img')) return;
  const server = await serve(t);
  const { disks, path } = server.tracked;
  const uri = server.uri('vm1');
  const map = async (...image: string[]): Promise<{ start: number; data: boolean }[]> =>
    JSON.parse(await mustRun(t, 'qemu-img', 'map', '--output=json', ...image));
  const starts = (await map('-f', 'raw', uri)).map(({ start, data }) => [start / MIB, data]);
  assert.deepEqual(starts, [
    [0, false],
    [1, true],
    [2, false],
    [10, true],
    [26, false],
    [63, true],
  ]);
  disks[0].write(5 * MIB, new Uint8Array(65_536));
  const image =
    `driver=nbd,export=vm1,server.type=unix,server.path=${server.path},` +
    'x-dirty-bitmap=qemu:dirty-bitmap:c';
  // With a bitmap for a map QEMU shows what is dirty as "no data".
  const dirty = await map('--image-opts', image);
  assert.deepEqual(
    dirty.map(({ start, data }) => [start / K, data]),
    [
      [0, true],
      [5 * K, false],
      [5 * K + 64, true],
    ],
  );
  const copy = join(server.folder, 'copy');
  await mustRun(t, 'qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, copy);
  assert.ok(readFileSync(copy).equals(readFileSync(path)));
  assert.ok(allocated(copy) <= allocated(path) + 128 * K, 'as sparse as the disk');
  await mustRun(t, 'qemu-img', 'compare', '-f', 'raw', '-F', 'raw', copy, uri);
});

test('qemu-img convert into an export leaves it sparse', async (t) => {
  if (!needTool(t, 'qemu-img')) return;
  const [source, server] = [await serve(t), await serve(t, false)];
  const { path } = server.tracked;
  // Without -n QEMU would make the target; with it, zeroes are made fast where that is offered.
  const to = server.uri('vm1');
  await mustRun(t, 'qemu-img', 'convert', '-n', '-O', 'raw', source.tracked.path, to);
  assert.ok(readFileSync(path).equals(readFileSync(source.tracked.path)));
  assert.ok(allocated(path) <= allocated(source.tracked.path) + 128 * K);
});

test('nbdcopy both ways is equal and sparse', async (t) => {
  if (!needTool(t, 'nbdcopy')) return;
  const server = await serve(t);
  const { path } = server.tracked;
  const copy = join(server.folder, 'copy');
  await mustRun(t, 'nbdcopy', server.uri('vm1'), copy);
  assert.ok(readFileSync(copy).equals(readFileSync(path)));
  assert.ok(allocated(copy) <= allocated(path) + 128 * K, `${allocated(copy)}`);
  const other = await serve(t, false);
  const [disk] = other.tracked.disks;
  disk.write(4 * MIB, new Uint8Array(MIB).fill(1));
  await mustRun(t, 'nbdcopy', copy, other.uri('vm1'));
  assert.ok(readFileSync(other.tracked.path).equals(readFileSync(path)));
  assert.ok(allocated(other.tracked.path) <= allocated(path) + 128 * K);
});

test('qemu-io reads holes and data, writes zeroes and discards', async (t) => {
  if (!needTool(t, 'qemu-io', 'nbdinfo')) return;
  const server = await serve(t, false);
  const out = await mustRun(
    t,
    'qemu-io',
    ...['-f', 'raw', '-t', 'writeback', '-d', 'unmap'],
    ...['-c', 'read -P 0 0 32M', '-c', 'write -P 0xab 1M 2M', '-c', 'read -P 0xab 1M 2M'],
    ...['-c', 'read -P 0 3M 1M', '-c', 'write -z -u 1M 1M', '-c', 'read -P 0 0 2M'],
    ...['-c', 'read -P 0xab 2M 1M', '-c', 'discard 2M 512k', '-c', 'flush'],
    server.uri('vm1'),
  );
  assert.ok(!/failed|error/i.test(out), out);
  assert.deepEqual(shape(await nbdMap(t, server, 'base:allocation')), [
    '0+2560:3',
    '2560+512:0',
    '3072+62464:3',
  ]);
});

const LIBNBD = `
import nbd, sys
uri, MIB = sys.argv[1], 1024 * 1024

def connect(structured, *contexts):
    h = nbd.NBD()
    h.set_request_structured_replies(structured)
    for name in contexts: h.add_meta_context(name)
    h.connect_uri(uri)
    assert h.get_structured_replies_negotiated() == structured
    return h

def chunks_of(h, length, offset, flags=0):
    seen, buf = [], bytearray(b'x' * length)
    def chunk(data, at, status, error): seen.append((status, at, len(data)))
    data = h.pread_structured(length, offset, chunk, flags)
    return seen, bytes(data)

def runs_of(h, length, offset, flags=0):
    found = {}
    def extent(name, at, entries, error):
        assert at == offset
        found[name] = list(zip(entries[0::2], entries[1::2]))
    h.block_status(length, offset, extent, flags)
    return found

DATA, HOLE, DF = nbd.READ_DATA, nbd.READ_HOLE, nbd.CMD_FLAG_DF
s, plain = connect(True, 'base:allocation', 'qemu:dirty-bitmap:c'), connect(False)
assert s.can_df() and not plain.can_df()
assert s.can_cache() and plain.can_cache() and s.can_fast_zero() and plain.can_fast_zero()
assert s.can_meta_context('base:allocation') and s.can_meta_context('qemu:dirty-bitmap:c')
assert not s.can_meta_context('qemu:dirty-bitmap:b')
assert not plain.can_meta_context('base:allocation')

seen, data = chunks_of(s, 2 * MIB, 0)
assert sorted(seen) == sorted([(HOLE, 0, MIB), (DATA, MIB, MIB)]), seen
assert data == plain.pread(2 * MIB, 0) and data[:MIB] == bytes(MIB)
seen, same = chunks_of(s, 2 * MIB, 0, DF)
assert seen == [(DATA, 0, 2 * MIB)] and same == data, seen
seen, data = chunks_of(s, 4096, 0)
assert seen == [(DATA, 0, 4096)] and data == bytes(4096)

runs = runs_of(s, 20 * MIB, 512)
assert runs['base:allocation'][:2] == [(MIB - 512, 3), (MIB, 0)], runs
assert runs['qemu:dirty-bitmap:c'] == [(20 * MIB, 0)], runs
assert runs_of(s, 20 * MIB, 512, nbd.CMD_FLAG_REQ_ONE) == {
    'base:allocation': [(MIB - 512, 3)], 'qemu:dirty-bitmap:c': [(20 * MIB, 0)]}
s.pwrite(b'w' * 4096, 40 * MIB)
assert runs_of(s, 8192, 40 * MIB) == {
    'base:allocation': [(4096, 0), (4096, 3)], 'qemu:dirty-bitmap:c': [(4096, 1), (4096, 0)]}

s.cache(4 * MIB, 10 * MIB)
plain.cache(4096, 0)
s.zero(MIB, MIB, nbd.CMD_FLAG_FAST_ZERO)
assert plain.pread(MIB, MIB) == bytes(MIB)
assert runs_of(s, 3 * MIB, 0)['base:allocation'] == [(3 * MIB, 3)]
try:
    s.zero(MIB, 10 * MIB, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
    raise AssertionError('allocated zeroes are not told to be fast')
except nbd.Error as e:
    assert e.errno == 'ENOTSUP', e.errno
assert plain.pread(4096, 10 * MIB) != bytes(4096)
s.set_strict_mode(0)
for call in (lambda: s.pread(4096, 64 * MIB), lambda: s.block_status(4096, 64 * MIB, lambda *a: 0)):
    try:
        call()
        raise AssertionError('beyond the end')
    except nbd.Error as e:
        assert e.errno == 'EINVAL', e.errno
many = [nbd.Buffer(65536) for _ in range(64)]
for i, buf in enumerate(many): s.aio_pread(buf, (9 * MIB) + i * 65536)
while s.aio_in_flight(): s.poll(-1)
for i, buf in enumerate(many):
    assert bytes(buf.to_bytearray()) == plain.pread(65536, 9 * MIB + i * 65536), i
for h in (s, plain): h.shutdown()
`;

test('libnbd: structured and not, DF, holes, status of several contexts, FAST_ZERO', async (t) => {
  if (!(await needLibnbd(t))) return;
  const server = await serve(t);
  await mustRun(t, PYTHON, '-c', LIBNBD, server.uri('vm1'));
});
