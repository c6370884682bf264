// The contract of Device, run against every implementation (STYLE 12). A fixture looks at the
// bytes behind the device's back, so that a device cannot agree with itself only.
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import { advice, holes, otherReads } from './read-cases.js';

export interface DeviceFixture {
  readonly device: Device;
  /** All bytes of the disk, read another way. */
  readonly content: () => Uint8Array;
  /** Bytes of space taken, or null where nobody knows. */
  readonly allocated: () => number | null;
  /** Whether punching must work here, must not, or may do either. */
  readonly punches: boolean | null;
  /** Whether holes are told from data. */
  readonly seesHoles: boolean;
}

/** Null: skipped, with its reason. */
export type MakeDevice = (t: TestContext, sizeBytes: number) => Promise<DeviceFixture | null>;

/** Not a multiple of 4096 nor of 65536 (H14). */
export const ODD_BYTES = 10 * MIB + 512;
const seed = Number(process.env['HAST_SEED'] ?? 20_260_711);

export function describeDeviceContract(name: string, make: MakeDevice): void {
  const check = (
    title: string,
    body: (fixture: DeviceFixture, t: TestContext) => Promise<void> | void,
    sizeBytes = ODD_BYTES,
  ) =>
    test(title, async (t) => {
      t.diagnostic(`HAST_SEED=${seed}`);
      const fixture = await make(t, sizeBytes);
      if (fixture === null) return;
      try {
        await body(fixture, t);
      } finally {
        await fixture.device.close();
      }
    });

  describe(`Device contract: ${name}`, { concurrency: 1 }, () => {
    check('a new disk reads as zeroes and says its size', newDisk);
    check('random operations agree with a plain array', randomOperations);
    check('buffers in shared memory are read and written', sharedBuffers);
    check('the last sector can be written and read, and not one byte more', lastSector);
    check('zeroing clears exactly the range, punching or not, aligned or not', zeroing);
    check('punching clears exactly the range or does nothing at all', punching);
    check('a punched block gives its space back; zeroes without leave keep it', space);
    check('nextData never skips data', nextData);
    check('nextHole and nextData agree on every byte', (fixture) => holes(fixture, seed));
    check('readAside and readMedium read what read reads', (fixture) => otherReads(fixture, seed));
    check('prefetch and dropCached change no byte', (fixture) => advice(fixture, seed));
    check('many operations at once all finish, and sync after them', manyAtOnce);
    check('an operation of no bytes is nothing', nothing);
    check('a disk of one sector works', tiny, 512);
    check('close waits, can be called twice, and ends the use', closing);
  });
}

function pattern(length: number, salt: number): Uint8Array {
  return seededRandom(seed + salt).bytes(length);
}

async function readAll(device: Device): Promise<Uint8Array> {
  const all = new Uint8Array(device.sizeBytes);
  await device.read(0, all);
  return all;
}

async function newDisk({ device, content }: DeviceFixture) {
  assert.equal(device.sizeBytes, ODD_BYTES);
  assert.notEqual(device.path, '');
  assert.ok((await readAll(device)).every((byte) => byte === 0));
  assert.equal(content().length, ODD_BYTES);
}

async function randomOperations({ device, content }: DeviceFixture) {
  const random = seededRandom(seed);
  const model = new Uint8Array(device.sizeBytes);
  for (let turn = 0; turn < 300; turn += 1) {
    const offset = random.below(device.sizeBytes);
    const length = Math.min(1 + random.below(200_000), device.sizeBytes - offset);
    switch (random.below(5)) {
      case 0: {
        const bytes = random.bytes(Math.min(length, 20_000));
        device.writeNow(offset, bytes);
        model.set(bytes, offset);
        break;
      }
      case 1: {
        const bytes = random.bytes(Math.min(length, 20_000));
        await device.write(offset, bytes);
        model.set(bytes, offset);
        break;
      }
      case 2:
        device.zeroNow(offset, length, random.below(2) === 0);
        model.fill(0, offset, offset + length);
        break;
      case 3: {
        const from = Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
        const blocks = Math.floor((offset + length - from) / BLOCK_BYTES);
        if (blocks > 0 && device.punchNow(from, blocks * BLOCK_BYTES)) {
          model.fill(0, from, from + blocks * BLOCK_BYTES);
        }
        break;
      }
      default: {
        const into = new Uint8Array(length).fill(0xee);
        if (!device.readCached(offset, into)) await device.read(offset, into);
        const same = Buffer.compare(into, model.subarray(offset, offset + length)) === 0;
        assert.ok(same, `turn ${turn}: ${length} bytes at ${offset} differ`);
      }
    }
  }
  await device.sync();
  assert.ok(Buffer.compare(content(), model) === 0, 'the bytes behind the device');
}

async function sharedBuffers({ device }: DeviceFixture) {
  const shared = new SharedArrayBuffer(64 * 1024);
  const bytes = pattern(9000, 1);
  new Uint8Array(shared, 100, 9000).set(bytes);
  device.writeNow(5000, new Uint8Array(shared, 100, 9000));
  await device.write(40_000, new Uint8Array(shared, 100, 9000));
  for (const from of [5000, 40_000]) {
    const pooled = new Uint8Array(shared, 20_000, 9000).fill(0);
    await device.read(from, pooled);
    assert.deepEqual(Buffer.from(pooled), Buffer.from(bytes));
    const cached = Buffer.from(shared, 40_001, 9000).fill(0); // an odd address
    if (device.readCached(from, cached)) assert.deepEqual(cached, Buffer.from(bytes));
  }
  assert.equal(new Uint8Array(shared)[19_999], 0, 'nothing beside the buffer is touched');
  assert.equal(new Uint8Array(shared)[29_000], 0, 'nothing beside the buffer is touched');
}

async function lastSector({ device, content }: DeviceFixture) {
  const bytes = pattern(512, 2);
  device.writeNow(device.sizeBytes - 512, bytes);
  const back = new Uint8Array(512);
  await device.read(device.sizeBytes - 512, back);
  assert.deepEqual(back, bytes);
  const fact = { name: 'AssertionError', message: /stays on the disk/ };
  assert.throws(() => device.writeNow(device.sizeBytes - 511, bytes), fact);
  assert.throws(() => device.zeroNow(device.sizeBytes - 511, 512, true), fact);
  assert.throws(() => device.punchNow(device.sizeBytes - 511, 512), fact);
  assert.throws(() => device.readCached(device.sizeBytes, new Uint8Array(1)), fact);
  await assert.rejects(async () => device.read(device.sizeBytes - 511, back), fact);
  await assert.rejects(async () => device.readAside(device.sizeBytes - 511, back), fact);
  await assert.rejects(async () => device.readMedium(device.sizeBytes - 511, back), fact);
  await assert.rejects(async () => device.write(device.sizeBytes - 511, bytes), fact);
  assert.equal(content().length, device.sizeBytes);
}

async function zeroing({ device }: DeviceFixture) {
  const size = device.sizeBytes;
  const ranges: readonly [number, number][] = [
    [0, 512],
    [4096, 4096],
    [1000, 3],
    [65_536 - 700, 9000],
    [MIB, MIB],
    [3 * MIB + 1, MIB - 2],
    [size - 512, 512],
    [size - 4608, 4608],
  ];
  for (const [offset, length] of ranges) {
    for (const mayPunch of [true, false]) {
      const around = Math.min(offset, 8192);
      const model = pattern(Math.min(around + length + 8192, size - offset + around), offset);
      device.writeNow(offset - around, model);
      device.zeroNow(offset, length, mayPunch);
      model.fill(0, around, around + length);
      const back = new Uint8Array(model.length);
      await device.read(offset - around, back);
      assert.ok(Buffer.compare(back, model) === 0, `${length} at ${offset}, punch ${mayPunch}`);
    }
  }
  const fact = { name: 'AssertionError', message: /a MiB at a time/ };
  assert.throws(() => device.zeroNow(0, MIB + 512, true), fact);
}

async function punching({ device, punches }: DeviceFixture) {
  const model = pattern(device.sizeBytes, 3);
  await device.write(0, model);
  const did = device.punchNow(BLOCK_BYTES, 30 * BLOCK_BYTES);
  if (punches !== null) assert.equal(did, punches);
  if (did) model.fill(0, BLOCK_BYTES, 31 * BLOCK_BYTES);
  assert.ok(Buffer.compare(await readAll(device), model) === 0, 'a range of blocks');
  const last = Math.floor(device.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
  if (device.punchNow(last, device.sizeBytes - last)) model.fill(0, last);
  assert.ok(Buffer.compare(await readAll(device), model) === 0, 'the short last block');
}

async function space({ device, allocated, punches }: DeviceFixture, t: TestContext) {
  const empty = allocated();
  if (empty === null) return t.skip('nobody knows what space this device takes');
  assert.ok(empty < MIB, `a sparse disk takes ${empty} bytes`);
  for (let at = 0; at < 4 * MIB; at += MIB) device.writeNow(at, pattern(MIB, 4));
  await device.sync();
  const full = allocated() ?? 0;
  assert.ok(full >= 4 * MIB, `4 MiB of data take ${full} bytes`);
  device.zeroNow(MIB, MIB, false);
  await device.sync();
  assert.ok((allocated() ?? 0) >= full, 'without leave to punch, space is kept');
  if (punches !== true) return;
  device.zeroNow(2 * MIB, MIB, true);
  device.punchNow(3 * MIB, MIB);
  await device.sync();
  const punched = allocated() ?? 0;
  assert.ok(punched <= full - 2 * MIB, `punching 2 MiB left ${punched} of ${full} bytes`);
}

function nextData({ device, seesHoles }: DeviceFixture) {
  const size = device.sizeBytes;
  if (seesHoles) assert.equal(device.nextData(0), size, 'a new disk is a hole');
  device.writeNow(5 * MIB + 10, pattern(10, 5));
  device.writeNow(size - 512, pattern(512, 6));
  for (const from of [0, 4096, 5 * MIB, 5 * MIB + 10]) {
    const found = device.nextData(from);
    assert.ok(found >= from && found <= 5 * MIB + 10, `from ${from} to ${found}`);
    if (seesHoles) assert.ok(found >= Math.max(from, 5 * MIB), 'the hole is skipped');
  }
  const last = device.nextData(5 * MIB + 4096);
  assert.ok(last <= size - 512, 'the last sector is data');
  assert.equal(device.nextData(size - 1), size - 1, 'the middle of data is data');
  assert.equal(device.nextData(size), size);
}

async function manyAtOnce({ device, content }: DeviceFixture) {
  const pieces = Array.from({ length: 64 }, (_, index) => pattern(7000, 100 + index));
  await Promise.all(pieces.map((bytes, index) => device.write(index * 8000, bytes)));
  const backs = pieces.map(() => new Uint8Array(7000));
  await Promise.all([
    device.sync(),
    ...backs.map((into, index) => device.read(index * 8000, into)),
    device.sync(),
  ]);
  const all = content();
  for (const [index, bytes] of pieces.entries()) {
    assert.deepEqual(backs[index], bytes);
    const behind = all.subarray(index * 8000, index * 8000 + 7000);
    assert.ok(Buffer.compare(behind, bytes) === 0, `piece ${index} behind the device`);
  }
}

async function nothing({ device }: DeviceFixture) {
  const none = new Uint8Array(0);
  for (const offset of [0, device.sizeBytes]) {
    device.readCached(offset, none); // either answer is true of no bytes
    await device.read(offset, none);
    await device.readAside(offset, none);
    await device.readMedium(offset, none);
    device.prefetch(offset, 0);
    device.writeNow(offset, none);
    await device.write(offset, none);
    device.zeroNow(offset, 0, true);
    device.zeroNow(offset, 0, false);
  }
  assert.ok((await readAll(device)).every((byte) => byte === 0));
}

async function tiny({ device, content }: DeviceFixture) {
  const bytes = pattern(512, 7);
  device.writeNow(0, bytes);
  assert.deepEqual(await readAll(device), bytes);
  device.zeroNow(100, 50, true);
  bytes.fill(0, 100, 150);
  await device.sync();
  assert.ok(Buffer.compare(content(), bytes) === 0);
}

async function closing({ device }: DeviceFixture) {
  const late = device.write(0, pattern(MIB, 8));
  const aside = device.readAside(4096, new Uint8Array(MIB));
  const medium = device.readMedium(4096, new Uint8Array(MIB));
  const first = device.close();
  await Promise.all([late, aside, medium, first, device.close()]);
  const fact = { name: 'AssertionError', message: /closed device/ };
  assert.throws(() => device.writeNow(0, new Uint8Array(1)), fact);
  await assert.rejects(async () => device.read(0, new Uint8Array(1)), fact);
  assert.equal(codeOf(await device.close()), null);
}
