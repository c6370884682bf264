// Cases of the Device contract for its other reads, its holes and its advice.
import assert from 'node:assert/strict';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import type { DeviceFixture } from './device-contract.js';

export function holes({ device, seesHoles }: DeviceFixture, seed: number): void {
  const size = device.sizeBytes;
  if (seesHoles) assert.equal(device.nextHole(0), 0, 'a new disk is a hole');
  device.writeNow(2 * MIB, seededRandom(seed + 9).bytes(MIB));
  device.writeNow(size - 512, seededRandom(seed + 10).bytes(512));
  for (const from of [2 * MIB, 2 * MIB + 5000, 3 * MIB - 1]) {
    const found = device.nextHole(from);
    if (seesHoles) assert.equal(found, 3 * MIB, `from ${from}`);
    else assert.equal(found, size, 'holes cannot be told');
  }
  assert.equal(device.nextHole(size - 1), size, 'the end is the hole after the last byte');
  assert.equal(device.nextHole(size), size);
  for (let at = 0; at < size; ) {
    const data = device.nextData(at);
    const hole = device.nextHole(data);
    assert.ok(data === size || hole > data, `data at ${data}, but a hole at ${hole}`);
    if (seesHoles && hole < size) assert.ok(device.nextData(hole) > hole, 'a hole is no data');
    at = hole;
  }
}

export async function otherReads({ device }: DeviceFixture, seed: number): Promise<void> {
  const random = seededRandom(seed + 11);
  const model = new Uint8Array(device.sizeBytes);
  for (let turn = 0; turn < 150; turn += 1) {
    const offset = random.below(device.sizeBytes);
    const length = Math.min(1 + random.below(300_000), device.sizeBytes - offset);
    const bytes = random.bytes(Math.min(length, 20_000));
    device.writeNow(offset, bytes);
    model.set(bytes, offset);
    if (random.below(4) === 0) await device.sync();
    if (random.below(4) === 0) device.dropCached(offset, length);
    const into = new Uint8Array(length + 2).fill(0xee);
    const inner = into.subarray(1, length + 1);
    if (random.below(2) === 0) await device.readAside(offset, inner);
    else await device.readMedium(offset, inner);
    const same = Buffer.compare(inner, model.subarray(offset, offset + length)) === 0;
    assert.ok(same, `turn ${turn}: ${length} bytes at ${offset} differ`);
    assert.equal(into[0], 0xee, 'nothing before the buffer is touched');
    assert.equal(into[length + 1], 0xee, 'nothing behind the buffer is touched');
  }
}

export async function advice({ device }: DeviceFixture, seed: number): Promise<void> {
  const model = seededRandom(seed + 12).bytes(device.sizeBytes);
  await device.write(0, model);
  await device.sync();
  device.dropCached(0, device.sizeBytes);
  device.prefetch(1000, 3 * MIB);
  device.prefetch(0, device.sizeBytes);
  device.prefetch(device.sizeBytes, 0);
  device.dropCached(device.sizeBytes, 0);
  const all = new Uint8Array(device.sizeBytes);
  await device.read(0, all);
  assert.ok(Buffer.compare(all, model) === 0);
  const fact = { name: 'AssertionError', message: /stays on the disk/ };
  assert.throws(() => device.prefetch(device.sizeBytes - 511, 512), fact);
}
