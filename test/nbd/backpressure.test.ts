// W5: a guest cannot make the server hold more than its named limits, whatever it sends and however
// little it reads; and when it goes on, everything it asked for still arrives.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deferred } from '../../src/base/sync.js';
import { Client, CMD, request } from './client.js';
import { MemoryDisk, type Pace } from './memory-disk.js';
import { eventually, startServer } from './server.js';

const MIB = 1024 * 1024;
/** Asked of the kernel, so that what it holds beside us is small. */
const SOCKET = { socketBytes: 65_536 };
/** What it may then hold of one connection, both directions, with the client's own buffers. */
const KERNEL_BYTES_MAX = MIB;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `value` has not changed for a while. */
async function settled(value: () => number): Promise<number> {
  for (let before = -1; ; ) {
    const now = value();
    if (now === before) return now;
    before = now;
    await pause(150);
  }
}

for (const pace of ['done', 'later'] as Pace[]) {
  test(`${pace}: a client that takes no replies stops being served`, async (t) => {
    const disk = new MemoryDisk(MIB);
    disk.pace = pace;
    const limits = { ...SOCKET, unsentBytesMax: 2 * MIB, heldBytesMax: 4 * MIB };
    const server = await startServer(t, { vm1: disk }, limits);
    const client = await Client.open({ path: server.path }, 'vm1');
    client.socket.pause();
    const cookies = Array.from({ length: 200 }, () => client.send({ type: CMD.READ, length: MIB }));
    const served = await settled(() => disk.calls.length);
    assert.ok(served >= 2, 'some were served');
    const bound = (limits.heldBytesMax + KERNEL_BYTES_MAX) / MIB;
    assert.ok(served <= bound, `${served} MiB were read for nobody`);
    assert.ok(disk.pendingBytesMax <= limits.heldBytesMax);
    client.socket.resume();
    for (const cookie of cookies) assert.equal((await client.reply(cookie)).data.length, MIB);
  });
}

test('a flood of refused requests without reading is not taken in', async (t) => {
  const limits = { ...SOCKET, unsentBytesMax: 65_536 };
  const server = await startServer(t, { vm1: new MemoryDisk(MIB) }, limits);
  const client = await Client.open({ path: server.path }, 'vm1');
  client.socket.pause();
  const count = 500_000;
  const one = request({ type: CMD.FLUSH, offset: 1 });
  const flood = Buffer.concat(Array.from({ length: 20_000 }, () => one));
  for (let sent = 0; sent < count; sent += 20_000) client.raw(flood);
  const left = await settled(() => client.socket.writableLength);
  const taken = count * 28 - left;
  assert.ok(taken < 4 * KERNEL_BYTES_MAX, `${taken} bytes were taken in`);
  client.socket.resume();
  await client.take(count * 16);
});

test('no more operations are in flight than allowed', async (t) => {
  const disk = new MemoryDisk(MIB);
  disk.pace = 'later';
  const gate = deferred<void>();
  disk.hold = gate.promise;
  const server = await startServer(t, { vm1: disk }, { inFlightMax: 10 });
  const client = await Client.open({ path: server.path }, 'vm1');
  const types = [CMD.READ, CMD.FLUSH, CMD.TRIM, CMD.WRITE_ZEROES, CMD.WRITE];
  const cookies = Array.from({ length: 500 }, (_, i) => {
    const type = types[i % types.length] ?? CMD.READ;
    if (type === CMD.WRITE) return client.send({ type }, Buffer.alloc(512));
    return client.send({ type, length: type === CMD.FLUSH ? 0 : 512 });
  });
  assert.equal(await settled(() => disk.pending), 10);
  gate.resolve();
  for (const cookie of cookies) assert.equal((await client.reply(cookie)).error, 0);
  assert.equal(disk.pendingMax, 10);
  assert.equal(disk.calls.length, 500);
});

test('a large write waits between its pieces', async (t) => {
  const disk = new MemoryDisk(16 * MIB);
  disk.pace = 'later';
  const gate = deferred<void>();
  disk.hold = gate.promise;
  const server = await startServer(t, { vm1: disk }, { heldBytesMax: MIB });
  const client = await Client.open({ path: server.path }, 'vm1');
  const data = Buffer.alloc(16 * MIB, 0x5a);
  const write = client.send({ type: CMD.WRITE }, data);
  const held = await settled(() => disk.pendingBytes);
  assert.ok(held > 0 && held <= MIB, `${held} bytes were in flight`);
  gate.resolve();
  assert.equal((await client.reply(write)).error, 0);
  assert.ok(disk.content.equals(data));
  assert.ok(disk.pendingBytesMax <= MIB);
});

test('a request larger than the limit goes alone', async (t) => {
  const disk = new MemoryDisk(4 * MIB);
  disk.pace = 'later';
  const server = await startServer(t, { vm1: disk }, { heldBytesMax: MIB });
  const client = await Client.open({ path: server.path }, 'vm1');
  const cookies = Array.from({ length: 4 }, () => client.send({ type: CMD.READ, length: 3 * MIB }));
  for (const cookie of cookies) assert.equal((await client.reply(cookie)).data.length, 3 * MIB);
  assert.equal(disk.pendingMax, 1);
});

test('closing does not wait for ever for a client that takes no replies', async (t) => {
  const disk = new MemoryDisk(32 * MIB);
  const server = await startServer(t, { vm1: disk }, { lingerMsMax: 100 });
  const client = await Client.open({ path: server.path }, 'vm1');
  client.socket.pause();
  client.send({ type: CMD.READ, length: 32 * MIB });
  await eventually(() => disk.calls.length === 1, 'the read was served');
  await Promise.all(server.connections.map((one) => one.close()));
  assert.deepEqual(server.ends, ['closed']);
  client.socket.destroy();
});

test('one stalled connection does not hold another', async (t) => {
  const disk = new MemoryDisk(MIB);
  const server = await startServer(t, { vm1: disk });
  const stuck = await Client.open({ path: server.path }, 'vm1');
  stuck.socket.pause();
  for (let i = 0; i < 100; i += 1) stuck.send({ type: CMD.READ, length: MIB });
  await settled(() => disk.calls.length);
  const other = await Client.open({ path: server.path }, 'vm1');
  assert.equal((await other.ask({ type: CMD.WRITE }, Buffer.alloc(4096))).error, 0);
  stuck.socket.destroy();
  await eventually(() => server.ends.length === 1, 'the stuck one is gone');
});
