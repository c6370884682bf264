// What a peer may say that no peer of ours says, what a disk or a directory may refuse, and states
// as large as they get: each scenario was found by reading the code against RULES.md. Between the
// first copy and the first round: first-round.test.ts. Blocks that break: bad-blocks.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { AssertionError } from '../../src/base/assert.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import type { Target } from '../../src/target/target.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import { beginOf, cutAt, large, ready } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, STATE } from './nodes.js';
import type { Pair } from './pair.js';

const LIMIT = limited(20_000);

test('R3: a wanted chunk is released while it is read again', LIMIT, async () => {
  let late = false;
  let reads = 0;
  let puts = 0;
  let takes = 0;
  const knobs = {
    primaryDevice: (device: Device) =>
      new Proxy(device, {
        get(real, name) {
          const value: unknown = Reflect.get(real, name, real);
          if (typeof value !== 'function') return value;
          return async (...args: unknown[]) => {
            const result: unknown = await value.apply(real, args);
            if (name === 'readAside' && args[0] === 0 && armed) {
              reads += 1;
              if (reads === 2) {
                late = true;
                for (let at = 0; at < 300; at += 1) await turn();
              }
            }
            return result;
          };
        },
      }),
    link: (link: Target) =>
      new Proxy(link, {
        get(real, name) {
          if (name === 'staged' && armed && !late) return async () => 0;
          if (name === 'takeWanted') {
            return () => {
              takes += 1;
              return takes < 3 ? [] : real.takeWanted();
            };
          }
          if (name === 'put') {
            return async (number: number, frame: Uint8Array) => {
              puts += 1;
              // The link is full: the third frame leaves late.
              while (puts === 2 && !late) await turn();
              return real.put(number, frame);
            };
          }
          const value: unknown = Reflect.get(real, name, real);
          return typeof value === 'function' ? value.bind(real) : value;
        },
      }),
  };
  let armed = false;
  const inner = knobs.primaryDevice;
  knobs.primaryDevice = (device) => {
    const slow = inner(device);
    return new Proxy(device, {
      get(real, name) {
        if (name === 'readAside') return Reflect.get(slow, name) as unknown;
        const value: unknown = Reflect.get(real, name, real);
        return typeof value === 'function' ? value.bind(real) : value;
      },
    });
  };
  const pair = await ready(5, knobs, large);
  const { disk } = pair.primaryNode;
  await disk.write(0, Buffer.alloc(BLOCK_BYTES, 7));
  for (let chunk = 1; chunk < 64; chunk += 1)
    await disk.write(chunk * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, chunk));
  pair.receiverWorld.flip(DISK, 8192 + 5);
  armed = true;
  takes = 0;
  puts = 0;
  const result = await pair.round().catch((error: unknown) => error);
  armed = false;
  assert.ok(!(result instanceof AssertionError), `our own mistake: ${String(result)}`);
  assert.ok(!(result instanceof Error), String(result));
});

test('R5: a state that was published can be read again', LIMIT, async () => {
  const pair = await ready(7, {}, large);
  const { resourceFile } = pair.replicaNode;
  // 40 GiB of the replica's disk had changed behind its back: one undo names them as lost.
  const lost = Array.from({ length: (40 * 1024 * MIB) / CHUNK_BYTES }, (_, at) => at);
  await resourceFile.update((state) => ({
    ...state,
    replica: { ...state.replica, chain: state.replica.chain.map((entry) => ({ ...entry, lost })) },
  }));
  await ResourceFile.load(pair.receiverWorld, STATE);
});

test('R5b: retain 1000, a primary with 1024 damaged chunks', LIMIT, async () => {
  const pair = await ready(7, {}, large);
  const { resourceFile } = pair.replicaNode;
  const damaged = Array.from({ length: 1024 }, (_, at) => 1_000_000 + at);
  await resourceFile.update((state) => {
    const [entry] = state.replica.chain;
    assert.ok(entry);
    const chain = Array.from({ length: 1000 }, () => ({ ...entry, damaged }));
    return { ...state, replica: { ...state.replica, chain } };
  });
  await ResourceFile.load(pair.receiverWorld, STATE);
});

test('R7: a target that wants a chunk beyond the disk', LIMIT, async () => {
  let armed = false;
  const link = (real: Target): Target =>
    new Proxy(real, {
      get(target, name) {
        if (name === 'takeWanted' && armed) return () => [65, 2065, 100_001, 4_000_000_000];
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  const pair = await ready(8, { link }, large);
  await pair.primaryNode.disk.write(0, Buffer.alloc(BLOCK_BYTES, 7));
  armed = true;
  // There is no such chunk: nothing is wanted.
  await pair.wholeRound();
  assert.equal(pair.primaryNode.primary.volume.dirtyBytes(0), 0, 'and nothing is marked');
});

/** A round that loses its link at frame `at` (from 0), and a session after it. */
async function cutOff(pair: Pair, at: number): Promise<void> {
  cutAt(pair, 'put', at);
  await assert.rejects(pair.round());
  pair.during = null;
  await turn();
  pair.connect();
  await pair.contact();
}

async function withStaged(seed: number): Promise<Pair> {
  const pair = await ready(seed, {}, large);
  for (let chunk = 0; chunk < 64; chunk += 1) {
    const bytes = Buffer.from(seededRandom(chunk).bytes(CHUNK_BYTES));
    await pair.primaryNode.disk.write(chunk * CHUNK_BYTES, bytes);
  }
  await cutOff(pair, 3);
  return pair;
}

test('R8: REUSE that does not ascend, or is too much, is refused', LIMIT, async () => {
  for (const how of ['descends', 'too much']) {
    const pair = await withStaged(9);
    await pair.target.begin(beginOf(pair));
    const held = await pair.target.held(0, 64);
    assert.ok(held.length > 17);
    const items = held.map(({ chunk, digest }) => ({ chunk, digest }));
    const bad = how === 'descends' ? items.slice(0, 2).reverse() : items;
    const error = await pair.target.reuse(0, bad).catch((caught: unknown) => caught);
    assert.ok(error instanceof Error);
    assert.ok(
      !(error instanceof AssertionError),
      `${how}: ${String(error)} stops the replica's daemon`,
    );
  }
});

test('R9: a round that is committed is not told as refused', LIMIT, async () => {
  let armed = false;
  const knobs = {
    replicaFiles: (files: Pair['receiverWorld']) =>
      new Proxy(files, {
        get(real, name) {
          if (name === 'remove' && armed) {
            return async (path: string) => {
              if (path.includes('stage-')) throw new Error('EIO');
              return real.remove(path);
            };
          }
          const value: unknown = Reflect.get(real, name, real);
          return typeof value === 'function' ? value.bind(real) : value;
        },
      }),
  } as never;
  const pair = await ready(9, knobs, large);
  for (let chunk = 0; chunk < 64; chunk += 1) {
    await pair.primaryNode.disk.write(chunk * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, chunk + 1));
  }
  await cutOff(pair, 2);
  armed = true;
  await pair.round();
});

test('R13: many chunks wanted when the session is lost', LIMIT, async () => {
  const pair = await ready(11, {}, large);
  const many = Array.from({ length: 200_000 }, () => 0);
  const wants = new Proxy(pair.target, {
    get(real, name) {
      if (name === 'takeWanted') return () => many;
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? value.bind(real) : value;
    },
  });
  const target = pair.resuming(wants);
  await target.begin(beginOf(pair));
  pair.link?.cut();
  await target.held(0, 1);
});
