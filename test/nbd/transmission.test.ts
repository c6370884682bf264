// The transmission phase over real sockets, against a disk in memory that finishes at once, later,
// or by turns: data, errors, order, cut packets. How connections end: ends.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, systemRandom } from '../../src/base/random.js';
import { deferred } from '../../src/base/sync.js';
import { DiskError } from '../../src/disk/device.js';
import { Client, CMD, FUA, goData, NO_HOLE, OPT, option, request, words } from './client.js';
import { MemoryDisk, type Pace } from './memory-disk.js';
import { startServer } from './server.js';

const PACES: Pace[] = ['done', 'later', 'mixed'];
const [EPERM, EIO, EINVAL, ENOSPC] = [1, 5, 22, 28];
const MIB = 1024 * 1024;

const pattern = (length: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, i) => (i * seed + (i >> 8)) & 0xff));
const ioError = (errno: string): Error =>
  new DiskError({ code: 'DISK_FAILED', operation: 'pwrite', path: 'd', offset: 0, errno });

for (const pace of PACES) {
  test(`${pace}: what is written is read, at any size and alignment`, async (t) => {
    const disk = new MemoryDisk(8 * MIB + 512);
    disk.pace = pace;
    const server = await startServer(t, { vm1: disk });
    const client = await Client.open({ path: server.path }, 'vm1');
    const ranges = [
      [0, 1],
      [4096, 4096],
      [511, 4097],
      [100_000, 300_000],
      [MIB, 3 * MIB + 17],
      [8 * MIB, 512],
      [77, 0],
    ] as const;
    for (const [offset, length] of ranges) {
      const data = pattern(length, offset + 3);
      assert.equal((await client.ask({ type: CMD.WRITE, offset }, data)).error, 0);
      assert.deepEqual(disk.content.subarray(offset, offset + length), data);
      const back = await client.ask({ type: CMD.READ, offset, length });
      assert.equal(back.error, 0);
      assert.ok(back.data.equals(data));
    }
    const { counters } = server;
    assert.equal(counters.writes, ranges.length);
    assert.equal(counters.reads, ranges.length);
    assert.equal(
      counters.writtenBytes,
      ranges.reduce((sum, [, length]) => sum + length, 0),
    );
    // H4: pieces meet on block boundaries only.
    const inside = new Set(ranges.flatMap(([offset, length]) => [offset, offset + length]));
    for (const { offset } of disk.callsOf('write')) {
      assert.ok(offset % 4096 === 0 || inside.has(offset), `piece at ${offset}`);
    }
  });

  test(`${pace}: flush, FUA, trim and zeroes reach the disk`, async (t) => {
    const disk = new MemoryDisk(MIB);
    disk.pace = pace;
    const server = await startServer(t, { vm1: disk });
    const client = await Client.open({ path: server.path }, 'vm1');
    const ok = async (...args: Parameters<Client['ask']>): Promise<void> =>
      assert.equal((await client.ask(...args)).error, 0);
    await ok({ type: CMD.WRITE, flags: FUA, offset: 4096 }, pattern(4096, 5));
    assert.deepEqual(
      disk.calls.map((one) => one.call),
      ['write', 'flush'],
    );
    await ok({ type: CMD.FLUSH });
    await ok({ type: CMD.TRIM, offset: 4096, length: 8192 });
    await ok({ type: CMD.WRITE_ZEROES, offset: 4096, length: 100 });
    await ok({ type: CMD.WRITE_ZEROES, flags: NO_HOLE | FUA, offset: 4200, length: 100 });
    await ok({ type: CMD.TRIM, flags: FUA, offset: 0, length: 4096 });
    assert.deepEqual(disk.calls.slice(2), [
      { call: 'flush', offset: 0, length: 0 },
      { call: 'trim', offset: 4096, length: 8192 },
      { call: 'zero', offset: 4096, length: 100, mayPunch: true, fast: false },
      { call: 'zero', offset: 4200, length: 100, mayPunch: false, fast: false },
      { call: 'flush', offset: 0, length: 0 },
      { call: 'trim', offset: 0, length: 4096 },
      { call: 'flush', offset: 0, length: 0 },
    ]);
    assert.equal(disk.content[4096], 0);
    assert.equal(server.counters.flushes, 1);
    assert.equal(server.counters.deletes, 4);
  });

  test(`${pace}: the disk's errors are answered, and the connection goes on`, async (t) => {
    const disk = new MemoryDisk(4 * MIB);
    disk.pace = pace;
    const server = await startServer(t, { vm1: disk });
    const client = await Client.open({ path: server.path }, 'vm1');
    const failing = async (call: string, errno: string, ...ask: Parameters<Client['ask']>) => {
      disk.fault = (one) => (one.call === call ? ioError(errno) : null);
      const { error } = await client.ask(...ask);
      disk.fault = () => null;
      assert.equal((await client.ask({ type: CMD.READ, length: 512 })).error, 0);
      return error;
    };
    assert.equal(await failing('read', 'EIO', { type: CMD.READ, length: 100_000 }), EIO);
    // Three megabytes fail at their first piece: the rest is drained, the answer comes once.
    const large = Buffer.alloc(3 * MIB);
    assert.equal(await failing('write', 'ENOSPC', { type: CMD.WRITE }, large), ENOSPC);
    if (pace === 'done') assert.equal(disk.callsOf('write').length, 1);
    assert.equal(await failing('flush', 'EIO', { type: CMD.FLUSH }), EIO);
    assert.equal(await failing('flush', 'EIO', { type: CMD.WRITE, flags: FUA }, large), EIO);
    assert.equal(await failing('zero', 'EIO', { type: CMD.WRITE_ZEROES, length: 1 }), EIO);
    assert.equal(await failing('trim', 'EROFS', { type: CMD.TRIM, length: 1 }), EPERM);
    const { readErrors, writeErrors, deleteErrors, flushErrors, writes } = server.counters;
    assert.deepEqual([readErrors, writeErrors, deleteErrors, flushErrors], [1, 2, 2, 1]);
    assert.equal(writes, 0);
    assert.ok(server.warnings.length >= 5);
  });

  test(`${pace}: a stream of requests, cut anywhere, does what it would do uncut`, async (t) => {
    const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
    t.diagnostic(`HAST_SEED=${seed}`);
    const random = seededRandom(seed);
    const disk = new MemoryDisk(MIB);
    disk.pace = pace;
    const server = await startServer(t, { vm1: disk }, { receiveBytes: 8192, inFlightMax: 8 });
    const client = await Client.open({ path: server.path }, 'vm1');
    const model = Buffer.alloc(MIB);
    // Each slot of 16 KiB is used once, so that requests in flight together do not meet.
    const stream: Buffer[] = [];
    for (let slot = 0; slot < 64; slot += 1) {
      const offset = slot * 16_384 + random.below(4096);
      const data = Buffer.from(random.bytes(random.below(12_000)));
      data.copy(model, offset);
      const cookie = BigInt(slot) + 1n;
      client.expect(cookie, 0);
      stream.push(request({ type: CMD.WRITE, offset, cookie }, data));
    }
    const bytes = Buffer.concat(stream);
    for (let at = 0; at < bytes.length; ) {
      const next = at + 1 + random.below(random.below(3) === 0 ? 40 : 9000);
      client.raw(bytes.subarray(at, next));
      at = next;
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (let cookie = 1n; cookie <= 64n; cookie += 1n) {
      assert.equal((await client.reply(cookie)).error, 0);
    }
    assert.ok(disk.content.equals(model));
    const whole = await client.ask({ type: CMD.READ, length: MIB });
    assert.ok(whole.data.equals(model));
  });
}

test('one byte at a time', async (t) => {
  const disk = new MemoryDisk(65_536);
  const server = await startServer(t, { vm1: disk });
  const client = await Client.connect({ path: server.path });
  await client.take(18);
  client.expect(9n, 0);
  const data = pattern(5000, 11);
  const input = Buffer.concat([
    words([32, 3]),
    option(OPT.EXPORT_NAME, Buffer.from('vm1')),
    request({ type: CMD.WRITE, offset: 1000, cookie: 9n }, data),
  ]);
  client.socket.setNoDelay(true);
  for (const byte of input) {
    client.raw(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await client.take(10);
  assert.equal((await client.reply(9n)).error, 0);
  assert.ok(disk.content.subarray(1000, 6000).equals(data));
});

test('requests that come in one breath with GO are served', async (t) => {
  const server = await startServer(t, { vm1: new MemoryDisk(65_536) });
  const client = await Client.connect({ path: server.path });
  client.expect(1n, 0);
  client.expect(2n, 512);
  client.raw(
    words([32, 3]),
    option(OPT.GO, goData('vm1')),
    request({ type: CMD.WRITE, cookie: 1n }, pattern(512, 3)),
    request({ type: CMD.READ, cookie: 2n, length: 512 }),
  );
  await client.take(18 + 20 + 12 + 20 + 14 + 20);
  assert.equal((await client.reply(1n)).error, 0);
  assert.ok((await client.reply(2n)).data.equals(pattern(512, 3)));
});

test('what the disk finishes later is overtaken by what it finishes at once', async (t) => {
  const disk = new MemoryDisk(MIB);
  const gate = deferred<void>();
  disk.hold = gate.promise;
  const server = await startServer(t, { vm1: disk });
  const client = await Client.open({ path: server.path }, 'vm1');
  const flush = client.send({ type: CMD.FLUSH });
  const read = client.send({ type: CMD.READ, length: 4096 });
  assert.equal((await client.reply(read)).error, 0);
  gate.resolve();
  assert.equal((await client.reply(flush)).error, 0);
  assert.deepEqual(client.order, [read, flush]);
});

test('W3: a write with FUA is not answered before the flush is', async (t) => {
  const disk = new MemoryDisk(MIB);
  const gate = deferred<void>();
  disk.hold = gate.promise;
  const server = await startServer(t, { vm1: disk });
  const client = await Client.open({ path: server.path }, 'vm1');
  const write = client.send({ type: CMD.WRITE, flags: FUA }, Buffer.alloc(512));
  const read = client.send({ type: CMD.READ, length: 1 });
  await client.reply(read);
  assert.deepEqual(client.order, [read]);
  gate.resolve();
  await client.reply(write);
});

test('malformed requests are refused one by one, and their payloads read past', async (t) => {
  const disk = new MemoryDisk(MIB);
  const server = await startServer(t, { vm1: disk, old: new MemoryDisk(MIB, true) });
  const client = await Client.open({ path: server.path }, 'vm1');
  const error = async (...args: Parameters<Client['ask']>): Promise<number> =>
    (await client.ask(...args)).error;
  assert.equal(await error({ type: CMD.WRITE, offset: MIB - 1 }, Buffer.alloc(512, 1)), ENOSPC);
  assert.equal(await error({ type: CMD.WRITE, flags: 64 }, Buffer.alloc(9000, 1)), EINVAL);
  assert.equal(await error({ type: CMD.WRITE }, Buffer.alloc(33 * MIB, 1)), EINVAL);
  assert.equal(await error({ type: CMD.READ, offset: MIB, length: 1 }), EINVAL);
  assert.equal(await error({ type: CMD.READ, length: 0xffff_ffff }), EINVAL);
  assert.equal(await error({ type: 99, length: 5 }), EINVAL);
  assert.equal(await error({ type: CMD.READ, length: 0 }), 0);
  assert.deepEqual(disk.callsOf('write'), []);
  assert.equal(server.counters.writeErrors, 0);

  const reader = await Client.open({ path: server.path }, 'old');
  assert.equal((await reader.ask({ type: CMD.WRITE }, Buffer.alloc(4096))).error, EPERM);
  assert.equal((await reader.ask({ type: CMD.READ, length: 4096 })).error, 0);
});

test('two connections see each other, and a flush of one is a flush of the disk', async (t) => {
  const disk = new MemoryDisk(MIB);
  const server = await startServer(t, { vm1: disk });
  const one = await Client.open({ path: server.path }, 'vm1');
  const two = await Client.open({ path: server.path }, 'vm1');
  await one.ask({ type: CMD.WRITE, offset: 8192 }, pattern(512, 9));
  await two.ask({ type: CMD.FLUSH });
  const back = await two.ask({ type: CMD.READ, offset: 8192, length: 512 });
  assert.ok(back.data.equals(pattern(512, 9)));
  assert.equal(server.listener.connections, 2);
});
