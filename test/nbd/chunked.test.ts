// The transmission phase of a client that agreed on structured replies: reads in chunks, holes, DF,
// errors with their places, BLOCK_STATUS, CACHE and FAST_ZERO. Simple clients:
// transmission.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, systemRandom } from '../../src/base/random.js';
import { DiskError } from '../../src/disk/device.js';
import { STATUS_RUNS_MAX } from '../../src/nbd/commands.js';
import { READ_RUNS_MAX } from '../../src/nbd/reads.js';
import { errorPlaces, statusOf, TYPE } from './chunks.js';
import { Client, CMD, DF, FAST_ZERO, FUA, NO_HOLE, REQ_ONE } from './client.js';
import { CONTEXTS, MemoryDisk, type Pace } from './memory-disk.js';
import { startServer } from './server.js';

const K = 1024;
const MIB = K * K;
const [EPERM, EIO, EINVAL, ENOSPC, ENOTSUP] = [1, 5, 22, 28, 95];
const STRUCTURED = { structured: true };
const ioError = (offset: number, errno = 'EIO'): Error =>
  new DiskError({ code: 'DISK_FAILED', operation: 'read', path: 'd', offset, errno });

const types = (chunks: readonly { type: number }[]): number[] => chunks.map(({ type }) => type);

for (const pace of ['done', 'later', 'mixed'] as Pace[]) {
  test(`${pace}: reads in chunks are what a simple client reads`, async (t) => {
    const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
    t.diagnostic(`HAST_SEED=${seed}`);
    const random = seededRandom(seed);
    const disk = new MemoryDisk(4 * MIB + 512);
    disk.pace = pace;
    for (let at = 0; at < disk.sizeBytes; at += 64 * K) {
      if (random.below(2) === 0) disk.content.set(random.bytes(Math.min(60 * K, 512)), at);
    }
    const server = await startServer(t, { vm1: disk });
    const client = await Client.open({ path: server.path }, 'vm1', STRUCTURED);
    const simple = await Client.open({ path: server.path }, 'vm1');
    for (let i = 0; i < 60; i += 1) {
      const offset = random.below(disk.sizeBytes);
      const length = 1 + random.below(Math.min(MIB, disk.sizeBytes - offset));
      const flags = random.below(3) === 0 ? DF : 0;
      const [chunked, plain] = await Promise.all([
        client.ask({ type: CMD.READ, offset, length, flags }),
        simple.ask({ type: CMD.READ, offset, length }),
      ]);
      assert.equal(chunked.error, 0);
      assert.ok(chunked.data.equals(plain.data), `${length} bytes at ${offset}`);
      assert.ok(plain.chunks.length === 0 && chunked.chunks.length > 0);
      if (flags === DF) assert.equal(chunked.chunks.length, 1);
    }
    assert.equal(server.counters.reads, 120);
  });

  test(`${pace}: holes are not read, and not sent`, async (t) => {
    const disk = new MemoryDisk(MIB);
    disk.pace = pace;
    disk.content.fill(7, 256 * K, 320 * K);
    const server = await startServer(t, { vm1: disk });
    const client = await Client.open({ path: server.path }, 'vm1', STRUCTURED);
    const whole = await client.ask({ type: CMD.READ, length: MIB });
    assert.deepEqual(types(whole.chunks).sort(), [1, 2, 2]);
    assert.ok(whole.data.equals(disk.content));
    assert.deepEqual(
      disk.callsOf('read').map(({ offset, length }) => [offset, length]),
      [[256 * K, 64 * K]],
    );
    const empty = await client.ask({ type: CMD.READ, offset: 512 * K, length: 256 * K });
    assert.deepEqual(types(empty.chunks), [TYPE.OFFSET_HOLE]);
    const fragmentless = await client.ask({ type: CMD.READ, flags: DF, length: MIB });
    assert.deepEqual(types(fragmentless.chunks), [TYPE.OFFSET_DATA]);
    const one = await client.ask({ type: CMD.READ, flags: DF, offset: 512 * K, length: 128 * K });
    assert.deepEqual(types(one.chunks), [TYPE.OFFSET_HOLE], 'one content chunk may be a hole');
    const small = await client.ask({ type: CMD.READ, offset: 512 * K, length: 4096 });
    assert.deepEqual(
      types(small.chunks),
      [TYPE.OFFSET_DATA],
      'a small read is not asked for holes',
    );
    const none = await client.ask({ type: CMD.READ, length: 0 });
    assert.deepEqual(types(none.chunks), [TYPE.NONE]);
    assert.equal(server.counters.reads, 6);
  });

  test(`${pace}: errors of reads and writes carry their place`, async (t) => {
    const disk = new MemoryDisk(MIB);
    disk.pace = pace;
    for (const at of [0, 512 * K]) disk.content.fill(9, at, at + 128 * K);
    const server = await startServer(t, { vm1: disk });
    const client = await Client.open({ path: server.path }, 'vm1', STRUCTURED);
    disk.fault = ({ call, offset }) =>
      call === 'read' && offset === 512 * K ? ioError(600 * K) : null;
    const reply = await client.ask({ type: CMD.READ, length: MIB });
    assert.equal(reply.error, EIO);
    assert.deepEqual(errorPlaces(reply.chunks), [600 * K]);
    assert.deepEqual(types(reply.chunks).sort(), [1, 2, 2, TYPE.ERROR_OFFSET].sort());
    assert.ok(reply.data.subarray(0, 128 * K).equals(disk.content.subarray(0, 128 * K)));
    disk.fault = ({ call }) => (call === 'read' ? ioError(1 << 30) : null);
    const vague = await client.ask({ type: CMD.READ, length: 4096 });
    assert.deepEqual(types(vague.chunks), [TYPE.ERROR], 'a place outside is none');
    assert.equal(server.counters.readErrors, 2);
    disk.fault = ({ call, offset }) =>
      call === 'write' && offset >= 256 * K ? ioError(offset, 'ENOSPC') : null;
    const full = await client.ask({ type: CMD.WRITE }, Buffer.alloc(600 * K, 1));
    assert.equal(full.error, ENOSPC);
    assert.ok((errorPlaces(full.chunks)[0] ?? 0) >= 256 * K);
    disk.fault = () => null;
    assert.equal((await client.ask({ type: CMD.WRITE }, Buffer.alloc(4096, 1))).error, 0);
    assert.equal((await client.ask({ type: CMD.READ, length: 4096 })).error, 0);
  });

  test(`${pace}: FAST_ZERO and CACHE`, async (t) => {
    const disk = new MemoryDisk(MIB);
    disk.pace = pace;
    disk.content.fill(1);
    const server = await startServer(t, { vm1: disk });
    for (const wishes of [{}, STRUCTURED]) {
      const client = await Client.open({ path: server.path }, 'vm1', wishes);
      const zero = (flags: number): Promise<{ error: number }> =>
        client.ask({ type: CMD.WRITE_ZEROES, flags, offset: 4096, length: 8192 });
      disk.content.fill(1);
      disk.zeroesFast = false;
      assert.equal((await zero(FAST_ZERO | FUA)).error, ENOTSUP);
      assert.equal(disk.content[4096], 1, 'nothing was done');
      disk.zeroesFast = true;
      assert.equal((await zero(FAST_ZERO | NO_HOLE)).error, 0);
      assert.equal(disk.content[4096], 0);
      const asked = disk.callsOf('zero').slice(-2);
      assert.deepEqual(
        asked.map(({ fast, mayPunch }) => [fast, mayPunch]),
        [
          [true, true],
          [true, false],
        ],
      );
      assert.equal((await client.ask({ type: CMD.CACHE, offset: 4096, length: 65_536 })).error, 0);
      assert.deepEqual(disk.callsOf('prefetch').at(-1)?.length, 65_536);
      disk.fault = ({ call }) => (call === 'prefetch' ? ioError(0, 'EROFS') : null);
      assert.equal((await client.ask({ type: CMD.CACHE, length: 4096 })).error, EPERM);
      disk.fault = () => null;
    }
    assert.equal(server.counters.deletes, 2, 'what was refused is not counted');
    assert.equal(disk.callsOf('flush').length, 0, 'nor flushed');
  });
}

test('BLOCK_STATUS: a chunk for each context, in the order of the client', async (t) => {
  const disk = new MemoryDisk(MIB);
  disk.content.fill(3, 64 * K, 128 * K);
  const server = await startServer(t, { vm1: disk });
  const contexts = [CONTEXTS[1], CONTEXTS[0]];
  const client = await Client.open({ path: server.path }, 'vm1', { contexts });
  const reply = await client.ask({ type: CMD.BLOCK_STATUS, length: MIB });
  const [dirty, allocation] = statusOf(reply.chunks);
  assert.deepEqual(
    [dirty, allocation].map((one) => client.contexts.get(one?.context ?? 0)),
    contexts,
  );
  const shape = [64 * K, 64 * K, MIB - 128 * K];
  assert.deepEqual(
    dirty?.runs,
    shape.map((length, index) => [length, index % 2]),
  );
  assert.deepEqual(
    allocation?.runs,
    shape.map((length, index) => [length, index === 1 ? 0 : 3]),
  );
  assert.deepEqual(
    reply.chunks.map(({ flags }) => flags),
    [0, 1],
  );
  const one = await client.ask({
    ...{ type: CMD.BLOCK_STATUS, flags: REQ_ONE },
    ...{ offset: 100 * K, length: 512 * K },
  });
  assert.deepEqual(
    statusOf(one.chunks).map(({ runs }) => runs),
    [[[28 * K, 1]], [[28 * K, 0]]],
  );
});

test('BLOCK_STATUS is bounded, and refused where it makes no sense', async (t) => {
  const disk = new MemoryDisk(8 * MIB);
  for (let at = 0; at < disk.sizeBytes; at += 8192) disk.content[at] = 1;
  const server = await startServer(t, { vm1: disk });
  const client = await Client.open({ path: server.path }, 'vm1', { contexts: [CONTEXTS[0]] });
  const [first] = statusOf((await client.ask({ type: CMD.BLOCK_STATUS, length: 8 * MIB })).chunks);
  assert.equal(first?.runs.length, STATUS_RUNS_MAX);
  disk.fault = ({ call }) => (call === 'status' ? ioError(0) : null);
  const failed = await client.ask({ type: CMD.BLOCK_STATUS, offset: 4096, length: 8192 });
  assert.deepEqual(types(failed.chunks), [TYPE.ERROR]);
  assert.equal(failed.error, EIO);
  // The read goes on without what the question would have told.
  const read = await client.ask({ type: CMD.READ, length: 256 * K });
  assert.equal(read.error, 0);
  disk.fault = () => null;
  for (const [offset, length] of [
    [0, 0],
    [8 * MIB, 1],
    [1, 8 * MIB],
  ]) {
    const refused = await client.ask({
      type: CMD.BLOCK_STATUS,
      offset: offset ?? 0,
      length: length ?? 0,
    });
    assert.equal(refused.error, EINVAL);
    assert.deepEqual(types(refused.chunks), [TYPE.ERROR]);
  }
  for (const wishes of [{}, STRUCTURED, { contexts: ['base:none'] }]) {
    const other = await Client.open({ path: server.path }, 'vm1', wishes);
    const { error } = await other.ask({ type: CMD.BLOCK_STATUS, length: 4096 });
    assert.equal(error, EINVAL, JSON.stringify(wishes));
    assert.equal((await other.ask({ type: CMD.READ, length: 4096 })).error, 0);
  }
});

test('a read of many small runs is told in few parts', async (t) => {
  const disk = new MemoryDisk(8 * MIB);
  for (let at = 0; at < disk.sizeBytes; at += 128 * K) disk.content.fill(5, at, at + 64 * K);
  const server = await startServer(t, { vm1: disk });
  const client = await Client.open({ path: server.path }, 'vm1', STRUCTURED);
  const reply = await client.ask({ type: CMD.READ, length: 8 * MIB });
  assert.ok(reply.data.equals(disk.content));
  assert.ok(reply.chunks.length <= READ_RUNS_MAX + 1);
});

test('refused reads are told by chunks, refused writes are read past', async (t) => {
  const disk = new MemoryDisk(MIB);
  const server = await startServer(t, { vm1: disk, old: new MemoryDisk(MIB, true) });
  const client = await Client.open({ path: server.path }, 'vm1', STRUCTURED);
  const read = await client.ask({ type: CMD.READ, offset: MIB, length: 1 });
  assert.deepEqual([read.error, types(read.chunks)], [EINVAL, [TYPE.ERROR]]);
  const reader = await Client.open({ path: server.path }, 'old', STRUCTURED);
  const write = await reader.ask({ type: CMD.WRITE }, Buffer.alloc(9000));
  assert.deepEqual([write.error, types(write.chunks)], [EPERM, [TYPE.ERROR]]);
  assert.equal((await reader.ask({ type: CMD.READ, length: 4096 })).error, 0);
  assert.equal((await client.ask({ type: CMD.READ, flags: REQ_ONE, length: 1 })).error, EINVAL);
  assert.equal((await client.ask({ type: 99 })).error, EINVAL);
});
