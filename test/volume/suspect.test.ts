// A failed fdatasync of the local disk, heard and remembered (H18): durable before anybody is told,
// left by a stop that was meant to be clean, heard by every thread that has a description of its
// own. And a checkpoint that another swap has overtaken clears no intent bit (H9).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmdirSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { intentPageOffset } from '../../src/format/intent-file.js';
import type { ResourceState } from '../../src/format/resource-state.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import { Core, runNow } from '../../src/volume/core.js';
import { touchIntent } from '../../src/volume/first-touch.js';
import { intentWriter } from '../../src/volume/intent.js';
import { DISK, type Knobs, PrimaryNode, STATE } from '../crash/nodes.js';
import { loopDevice } from '../disk/processes.js';
import { needRoot, needTool } from '../real.js';
import { FakeClock } from '../world/fake-clock.js';
import { CrashWorld } from '../world/memory-files.js';
import { filled } from './rig.js';

const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

const SIZE_BYTES = 4 * CHUNK_BYTES;
const shape = {
  sizeBytes: SIZE_BYTES,
  extentBytes: CHUNK_BYTES,
  keepdirty: 0,
  spillBytes: MIB,
  retain: 1,
};

async function opened(
  world: CrashWorld,
  knobs: Knobs = {},
  metaflush = false,
): Promise<PrimaryNode> {
  const setting = {
    shape: { ...shape, metaflush },
    clock: new FakeClock(),
    random: seededRandom(3),
    knobs,
  };
  return PrimaryNode.open(world, setting, 'boot');
}

async function newNode(knobs: Knobs = {}): Promise<PrimaryNode> {
  const world = new CrashWorld();
  world.plant(DISK, SIZE_BYTES);
  await world.makeDirectory('/state');
  world.settle();
  return opened(world, knobs);
}

/** The state as a power failure now would leave it. */
async function durable(world: CrashWorld): Promise<ResourceState> {
  const file = await ResourceFile.load(world.afterCrash('all', seededRandom(1)), STATE);
  return file.state;
}

const syncFails = ({ world }: PrimaryNode): void =>
  world.failNext({ operation: 'sync', path: DISK }, 'EIO');

describe('H18: a failed fdatasync of the local disk', () => {
  test('is durable before it is thrown', async () => {
    const node = await newNode();
    const { volume } = node.primary;
    assert.equal(node.disk.write(0, filled(BLOCK_BYTES, 1)), 'done');
    syncFails(node);
    let left: CrashWorld | null = null;
    await volume.sync().catch((error) => {
      assert.equal(codeOf(error), 'DISK_FAILED');
      left = node.world.afterCrash('all', seededRandom(1));
    });
    assert.ok(left, 'it was thrown');
    const { state } = await ResourceFile.load(left, STATE);
    assert.match(state.doubt ?? '', /fdatasync/);
    assert.equal(volume.suspect, true);
    await assert.rejects(node.disk.flush(), (error) => codeOf(error) === 'DISK_SUSPECT');
  });

  test('is thrown even if that cannot be written down', async () => {
    const node = await newNode();
    syncFails(node);
    node.world.failNext({ operation: 'create' }, 'ENOSPC');
    await assert.rejects(node.primary.volume.sync(), (error) => codeOf(error) === 'DISK_FAILED');
    assert.equal(node.primary.volume.suspect, true);
    await node.primary.closeClean();
    const state = await durable(node.world);
    assert.match(state.doubt ?? '', /fdatasync/, 'the stop has another try');
    assert.equal(state.clean, null);
  });

  for (const when of ['before the stop', 'of the stop itself'] as const) {
    test(`${when}: no clean mark, and the next start compares everything`, async () => {
      const node = await newNode();
      const { primary, world } = node;
      assert.equal(node.disk.write(0, filled(BLOCK_BYTES, 1)), 'done');
      syncFails(node);
      if (when === 'before the stop') await assert.rejects(primary.volume.sync());
      await primary.closeClean();
      const state = await durable(world);
      assert.equal(state.clean, null);
      assert.match(state.doubt ?? '', /fdatasync/);
      const again = await opened(world);
      assert.equal(again.primary.belief, 'all', 'even in this boot');
      assert.equal(again.primary.volume.dirtyBytes(0), SIZE_BYTES);
    });
  }

  test('a stop without trouble leaves the mark and no doubt', async () => {
    const node = await newNode();
    assert.equal(node.disk.write(0, filled(BLOCK_BYTES, 1)), 'done');
    await node.primary.closeClean();
    const state = await durable(node.world);
    assert.notEqual(state.clean, null);
    assert.equal(state.doubt, null);
    assert.equal((await opened(node.world)).primary.belief, 'exact');
  });

  test('every thread hears it: its descriptor is a description of its own', async (t) => {
    if (!needRoot(t) || !needTool(t, 'losetup', 'mount', 'umount')) return;
    const { path, fd } = fullLoop(t);
    const open = () => openFileDevice(fd, path, 'block', 8 * MIB, { ownsFd: false });
    const [one, two] = [open(), open()];
    one.writeNow(0, filled(4 * MIB, 1));
    const failed = (error: unknown): boolean => codeOf(error) === 'DISK_FAILED';
    await assert.rejects(one.sync(), failed);
    await assert.rejects(two.sync(), failed, 'though the kernel has told the first');
    await one.sync(); // told once to each: that it stays one is the volume's to remember
    assert.throws(() => fdatasyncSync(fd), 'the shared one has not been asked before');
    fdatasyncSync(fd);
    await Promise.all([one.close(), two.close()]);
  });
});

/** A loop device on a file for which its file system has no room: what is written back fails. */
function fullLoop(t: TestContext): { readonly path: string; readonly fd: number } {
  const folder = mkdtempSync(join(tmpdir(), 'hast-full-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', folder]);
  assert.equal(mounted.status, 0, String(mounted.stderr));
  let fd = -1;
  let path = '';
  // In the order of what holds what; loopDevice detaches once more, which does nothing.
  t.after(() => {
    if (fd >= 0) closeSync(fd);
    if (path !== '') spawnSync('losetup', ['--detach', path]);
    spawnSync('umount', [folder]);
    rmdirSync(folder);
  });
  const backing = join(folder, 'backing.raw');
  closeSync(openSync(backing, 'w'));
  truncateSync(backing, 8 * MIB);
  path = loopDevice(t, backing);
  fd = openSync(path, 'r+');
  return { path, fd };
}

describe('H9: a checkpoint clears intent bits', () => {
  const bitOf = ({ world }: PrimaryNode, extent: number): boolean => {
    const bits = world.peek(`${STATE}/intent.map`)?.[intentPageOffset(0)] ?? 0;
    return (bits & (1 << extent)) !== 0;
  };
  const one = filled(BLOCK_BYTES, 1);

  test('of extents that were not written since', async () => {
    const node = await newNode();
    for (const extent of [1, 2]) assert.equal(node.disk.write(extent * CHUNK_BYTES, one), 'done');
    assert.equal(await node.primary.dirty.checkpoint(), 'done');
    assert.deepEqual([bitOf(node, 1), bitOf(node, 2)], [false, false]);
  });

  for (const how of ['a cut', 'a checkpoint'] as const) {
    test(`and none if ${how} came while it was published`, async () => {
      const node = await newNode();
      const { volume, dirty } = node.primary;
      assert.equal(node.disk.write(CHUNK_BYTES, one), 'done');
      const { swaps } = volume;
      const checking = dirty.checkpoint();
      while (volume.swaps === swaps) await Promise.resolve();
      // Marked after the swap that is being published, and swapped away again before the clearer.
      await node.disk.write(2 * CHUNK_BYTES, one); // the gate may still be closed
      const other = how === 'a cut' ? volume.cut(0) : volume.checkpoint();
      await Promise.all([checking, other]);
      assert.equal(volume.swaps, swaps + 2);
      assert.equal(bitOf(node, 2), true, 'W1: it is in no published map');
      assert.equal(bitOf(node, 1), true, 'it clears nothing at all');
    });
  }

  test('W1: at every step of an overtaken checkpoint what was written has its bit', async () => {
    const node = await newNode();
    const { volume, dirty } = node.primary;
    assert.equal(node.disk.write(CHUNK_BYTES, one), 'done');
    const checking = dirty.checkpoint();
    const others: Promise<unknown>[] = [];
    for (let turn = 0; turn < 40; turn += 1) {
      const extent = turn % 4;
      await node.disk.write(extent * CHUNK_BYTES, one);
      assert.ok(bitOf(node, extent), `turn ${turn}`);
      if (turn === 10) others.push(volume.checkpoint());
    }
    await Promise.all([checking, ...others]);
  });
});

describe('H10: metaflush on, after a run whose bits are in the page cache only', () => {
  for (const before of [false, true]) {
    test(`the daemon was killed, metaflush ${before ? 'on' : 'off'}: not believed`, async () => {
      const world = new CrashWorld();
      world.plant(DISK, SIZE_BYTES);
      await world.makeDirectory('/state');
      world.settle();
      const killed = await opened(world, {}, before);
      // With metaflush on: killed between the touch and its flush.
      const file = await world.open(killed.primary.intentPath, 'write');
      const core = new Core(killed.primary.memory, 1);
      if (before) assert.equal(runNow(touchIntent(core, [1], intentWriter(file))), 0);
      else assert.equal(killed.disk.write(CHUNK_BYTES, filled(BLOCK_BYTES, 1)), 'done');
      const again = await opened(world, {}, true);
      assert.equal(again.primary.belief, 'extents');
      await again.disk.write(CHUNK_BYTES, filled(BLOCK_BYTES, 2));
      const left = world.afterCrash('all', seededRandom(1));
      const bits = left.peek(`${STATE}/intent.map`)?.[intentPageOffset(0)] ?? 0;
      assert.equal(bits & 2, 2, 'W1: data is written, its bit is not on the medium');
    });
  }
});
