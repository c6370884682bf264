// The primary's side when its own files or disk give trouble: guests go on, nothing is believed
// that must not be, and what was opened is closed (W4, H9, H12, H18, H23).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { type Device, DiskError } from '../../src/disk/device.js';
import * as M from '../../src/volume/memory.js';
import { same } from './checks.js';
import { another, large, ready, shape } from './ladder-material.js';
import { limited } from './limit.js';
import { STATE } from './nodes.js';

const LIMIT = limited(20_000);
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

test(
  'extents written again and again keep their intent bit, as keepdirty says (H9)',
  LIMIT,
  async () => {
    const pair = await ready(41, {}, { ...large, keepdirty: 2 });
    const { primary, disk } = pair.primaryNode;
    const control = new Int32Array(primary.memory.control);
    const hot = async (): Promise<void> => {
      for (const extent of [3, 9]) await disk.write(extent * large.extentBytes, filled(4096, 1));
    };
    await disk.write(5 * large.extentBytes, filled(4096, 1));
    await primary.dirty.checkpoint();
    await hot();
    await primary.dirty.checkpoint();
    const writes = control[M.INTENT_WRITES];
    for (let minute = 0; minute < 3; minute += 1) {
      await hot();
      await primary.dirty.checkpoint();
    }
    assert.equal(control[M.INTENT_WRITES], writes, 'no page is written for them again');
    await disk.write(5 * large.extentBytes, filled(4096, 2));
    assert.equal(control[M.INTENT_WRITES], (writes ?? 0) + 1, 'the bit of a cold one was cleared');
  },
);

test('a doubt that cannot be written is written with a later checkpoint (H18)', LIMIT, async () => {
  const pair = await ready(42);
  const { primary, resourceFile } = pair.primaryNode;
  pair.senderWorld.failNext({ operation: 'rename' }, 'EROFS', 2);
  await primary.doubt.raise('the intent map could not be written: EROFS');
  assert.equal(resourceFile.state.doubt, null, 'the state is on the same file system');
  await primary.doubt.write();
  assert.equal(resourceFile.state.doubt, null);
  await primary.doubt.write();
  assert.match(resourceFile.state.doubt ?? '', /intent map/);
  await primary.closeClean();
  assert.equal(resourceFile.state.clean, null, 'no clean mark beside a doubt');
  await pair.startPrimary();
  assert.equal(pair.primaryNode.primary.belief, 'all');
  pair.connect();
  await pair.contact();
  await another(pair);
});

test('the device is closed with the role, and when the role cannot be taken', LIMIT, async () => {
  let closed = 0;
  const primaryDevice = (device: Device): Device =>
    new Proxy(device, {
      get(real, name) {
        const value: unknown = Reflect.get(real, name, real);
        if (typeof value !== 'function') return value;
        if (name === 'close') closed += 1;
        return value.bind(real);
      },
    });
  const pair = await ready(43, { primaryDevice });
  await pair.primaryNode.primary.closeClean();
  assert.equal(closed, 1);
  pair.senderWorld.failNext({ operation: 'rename', path: `${STATE}/b.dirty.new` }, 'EIO');
  await assert.rejects(pair.startPrimary());
  assert.equal(closed, 2);
});

test('a repair that comes when the role ends writes nothing any more', LIMIT, async () => {
  const pair = await ready(44);
  const { volume } = pair.primaryNode.primary;
  const { swaps } = volume;
  await pair.primaryNode.primary.closeClean();
  assert.equal(await volume.writeBack(0, 0, 1, filled(CHUNK_BYTES, 7), swaps), 0);
});

for (const name of ['b.dirty', 'intent.map']) {
  test(`EIO in ${name}: the guest is served, and everything is compared`, LIMIT, async () => {
    const pair = await ready(45);
    await pair.primaryNode.primary.closeClean();
    pair.senderWorld.failNext({ operation: 'read', path: `${STATE}/${name}` }, 'EIO');
    await pair.startPrimary();
    const { volume } = pair.primaryNode.primary;
    assert.ok(volume.dirtyBytes(0) >= shape.sizeBytes - 512, 'all is in doubt');
    pair.connect();
    await pair.contact();
    await another(pair);
  });
}

test(
  'settling goes on while contact finds the target at an older point (H12, H23)',
  LIMIT,
  async () => {
    let fails = false;
    const replicaDevice = (device: Device): Device =>
      new Proxy(device, {
        get(real, name) {
          const value: unknown = Reflect.get(real, name, real);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            if (name !== 'write' || !fails) return value.apply(real, args) as unknown;
            const offset = Number(args[0]);
            const fault = { operation: 'write', path: '/disk', offset, errno: 'EIO' };
            return Promise.reject(new DiskError({ code: 'DISK_FAILED', ...fault }));
          };
        },
      });
    let pair = await ready(46, { replicaDevice }, large);
    fails = true;
    for (const chunk of [3, 9]) {
      await pair.primaryNode.disk.write(chunk * CHUNK_BYTES, filled(CHUNK_BYTES, chunk));
    }
    await pair.primaryNode.disk.flush();
    await pair.round();
    await assert.rejects(pair.replicaNode.replica.idle());
    fails = false;
    pair.link?.cut();
    await turn();
    // The power fails at both ends, and the point that was committed does not come back.
    pair.receiverWorld = pair.receiverWorld.afterCrash('all', seededRandom(1));
    const names = await pair.receiverWorld.list(STATE);
    pair.receiverWorld.flip(`${STATE}/${names.find((name) => name.startsWith('committed-'))}`, 300);
    pair = pair.fork('sender', 'all', 5, 'killed');
    await pair.startReplica();
    await pair.startPrimary();
    pair.connect();
    assert.equal(pair.target.state.point?.number, 1);
    const settling = pair.settle();
    await pair.contact();
    await settling;
    await another(pair);
    same(
      pair.replicaNode.bytes(),
      pair.primaryNode.bytes(),
      'what lies between the points was sent',
    );
  },
);
