// Unkind scenarios, each found by reading the code against RULES.md: what is lost, restarted or
// made anew at the worst moment, and what a peer may say that no peer of ours says. Where the
// answer is "it is filled anew", the round must have been refused for that reason and no other.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { AssertionError, assert as ours } from '../../src/base/assert.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { type Device, DiskError } from '../../src/disk/device.js';
import { fillByPasses } from '../../src/round/fill.js';
import { newCounts } from '../../src/round/parts.js';
import { runRound } from '../../src/round/round.js';
import type { Target } from '../../src/target/target.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import { entriesTrue, same } from './checks.js';
import { beginOf, ready, shape, started } from './ladder-material.js';
import { DISK, growDisk, STATE } from './nodes.js';
import { Pair } from './pair.js';

const LIMIT = { timeout: 20_000 };
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));
const large = { ...shape, sizeBytes: 4 * MIB };
const never = new AbortController().signal;

async function filledPair(seed: number) {
  const pair = new Pair(large, seed);
  await started(pair);
  assert.equal(await pair.contact(), 'fill');
  const target = pair.resuming(pair.target);
  const { parts } = pair.primaryNode;
  const fill = await fillByPasses(parts, target, newCounts('pass'), never);
  return { pair, target, fill };
}

/** The round that makes the first point; null: refused, because what the passes sent is gone. */
async function firstRound(pair: Pair, target: Target, fill: Uint8Array) {
  try {
    return await runRound(pair.primaryNode.parts, target, newCounts('round'), never, fill);
  } catch (error) {
    assert.match(String(error), /not under way here any more|lost its staging/);
    return null;
  }
}

test(
  'R1: link lost between the passes and the round: the replica keeps its table',
  LIMIT,
  async () => {
    const { pair, target, fill } = await filledPair(1);
    let once = true;
    pair.during = async (call) => {
      if (call !== 'begin' || !once) return;
      once = false;
      pair.link?.cut();
    };
    const { point } = (await firstRound(pair, target, fill)) ?? assert.fail('it goes on');
    pair.during = null;
    await pair.target.applied(point);
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'first point');
    entriesTrue(pair.replicaNode.replica.table, pair.replicaNode.bytes(), 'own table', 'some');
  },
);

test('R1b: and what follows from it: A-B-A is skipped, the replica keeps B', LIMIT, async () => {
  const { pair, target, fill } = await filledPair(2);
  // Chunk 9 holds data at both ends.
  let once = true;
  pair.during = async (call) => {
    if (call !== 'begin' || !once) return;
    once = false;
    pair.link?.cut();
  };
  const { point } = (await firstRound(pair, target, fill)) ?? assert.fail('it goes on');
  pair.during = null;
  await pair.target.applied(point);
  const { disk } = pair.primaryNode;
  const chunk =
    [...Array(60).keys()].find((at) => pair.replicaNode.bytes()[at * CHUNK_BYTES] !== 0) ?? 0;
  // The guest zeroes it; the sender's table is lost (power failure: a torn header).
  await disk.zero(chunk * CHUNK_BYTES, CHUNK_BYTES, true, false);
  await pair.primaryNode.parts.table.beginChange();
  const { point: next } = await pair.round();
  await pair.target.applied(next);
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'second point');
});

test('R2: the replica loses power between the passes and the round', LIMIT, async () => {
  for (const when of (process.env['WHEN'] ?? 'begin,commit').split(',')) {
    const { pair, target, fill } = await filledPair(3);
    let once = true;
    pair.during = async (call) => {
      if (call !== when || !once) return;
      once = false;
      pair.link?.cut();
      pair.receiverWorld = pair.receiverWorld.afterCrash('all', seededRandom(1));
      await pair.startReplica();
    };
    const result = await firstRound(pair, target, fill);
    pair.during = null;
    if (result === null) continue; // it is filled anew: sound
    await turn();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `first point, power lost at ${when}`);
  }
});

test(
  'R2b: the replica process restarts (no power loss) between the passes and the round',
  LIMIT,
  async () => {
    const { pair, target, fill } = await filledPair(3);
    let once = true;
    pair.during = async (call) => {
      if (call !== 'begin' || !once) return;
      once = false;
      pair.link?.cut();
      pair.receiverWorld = pair.receiverWorld.afterCrash('none', seededRandom(1));
      await pair.startReplica();
    };
    const result = await firstRound(pair, target, fill);
    pair.during = null;
    if (result === null) return;
    entriesTrue(pair.replicaNode.replica.table, pair.replicaNode.bytes(), 'own table', 'some');
  },
);

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
  // readCached and the like must stay synchronous.
  const sync = new Set([
    'readCached',
    'writeNow',
    'zeroNow',
    'punchNow',
    'nextData',
    'nextHole',
    'dropCached',
    'prefetch',
  ]);
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
  assert.ok(sync.size > 0);
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

/** Blocks that fail to read until they are written. */
function badBlocks() {
  const blocks = new Set<number>();
  const failed = (offset: number) =>
    new DiskError({ code: 'DISK_FAILED', operation: 'read', path: '/disk', offset, errno: 'EIO' });
  const knob = (device: Device): Device =>
    new Proxy(device, {
      get: (real, name) => {
        const value: unknown = Reflect.get(real, name, real);
        if (typeof value !== 'function') return value;
        return (offset: number, arg: Uint8Array | number, ...rest: unknown[]) => {
          const length = typeof arg === 'number' ? arg : (arg?.length ?? 0);
          const touched = [...blocks].filter(
            (block) => block * BLOCK_BYTES < offset + length && offset < (block + 1) * BLOCK_BYTES,
          );
          if (name === 'readCached' && touched.length > 0) throw failed(offset);
          if (['read', 'readAside', 'readMedium'].includes(String(name)) && touched.length > 0) {
            return Promise.reject(failed(offset));
          }
          return value.call(real, offset, arg, ...rest);
        };
      },
    });
  return { blocks, knob };
}

test(
  'R4: a block breaks between the passes and the round: what was sent is not zeroed',
  LIMIT,
  async () => {
    const bad = badBlocks();
    const pair = new Pair(large, 6, { primaryDevice: bad.knob });
    const { disk } = await (async () => {
      await started(pair);
      return pair.primaryNode;
    })();
    await disk.write(2 * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 77));
    await pair.primaryNode.primary.dirty.checkpoint();
    await pair.meet();
    const image = pair.primaryNode.bytes().slice();
    await disk.write(2 * CHUNK_BYTES + 3 * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, 9));
    image.fill(9, 2 * CHUNK_BYTES + 3 * BLOCK_BYTES, 2 * CHUNK_BYTES + 4 * BLOCK_BYTES);
    bad.blocks.add(2 * 16 + 7);
    const counts = newCounts('round');
    await pair.wholeRound(counts);
    const entry = pair.replicaNode.replica.record.chain.at(-1);
    const flagged = counts.damagedChunks === 1 && entry?.consistency === 'damaged';
    const dirty = pair.primaryNode.primary.volume.isDirty(0, 2 * 16 + 7, 2 * 16 + 7);
    if (flagged && dirty) return;
    same(pair.replicaNode.bytes(), image, `flagged ${flagged}, dirty ${dirty}`);
  },
);

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

async function withStaged(seed: number): Promise<Pair> {
  const pair = await ready(seed, {}, large);
  for (let chunk = 0; chunk < 64; chunk += 1) {
    const bytes = Buffer.from(seededRandom(chunk).bytes(CHUNK_BYTES));
    await pair.primaryNode.disk.write(chunk * CHUNK_BYTES, bytes);
  }
  let puts = 0;
  pair.during = async (call) => {
    if (call !== 'put') return;
    puts += 1;
    if (puts === 4) pair.link?.cut();
  };
  await assert.rejects(pair.round());
  pair.during = null;
  await turn();
  pair.connect();
  await pair.contact();
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
  let puts = 0;
  pair.during = async (call) => {
    if (call !== 'put') return;
    puts += 1;
    if (puts === 3) pair.link?.cut();
  };
  await assert.rejects(pair.round());
  pair.during = null;
  await turn();
  pair.connect();
  await pair.contact();
  armed = true;
  await pair.round();
});

test('R10: chunks lost at an older point are still named after a crash (H27)', LIMIT, async () => {
  let fails = false;
  const replicaDevice = (device: Device): Device =>
    new Proxy(device, {
      get(real, name) {
        const value: unknown = Reflect.get(real, name, real);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (name === 'write' && fails) {
            const facts = { operation: 'write', path: '/disk', offset: 0, errno: 'EIO' } as const;
            return Promise.reject(new DiskError({ code: 'DISK_FAILED', ...facts }));
          }
          return value.apply(real, args) as unknown;
        };
      },
    });
  const pair = await ready(10, { replicaDevice }, large);
  pair.receiverWorld.flip(DISK, 5 * CHUNK_BYTES + 9000);
  await pair.primaryNode.disk.write(5 * CHUNK_BYTES, Buffer.alloc(BLOCK_BYTES, 3));
  fails = true;
  await pair.round();
  await assert.rejects(pair.replicaNode.replica.idle());
  fails = false;
  pair.link?.cut();
  await turn();
  await pair.replicaNode.replica.close();
  await pair.startReplica();
  const { chain } = pair.replicaNode.replica.record;
  assert.equal(chain.length, 2);
  assert.deepEqual(chain[0]?.lost, [5]);
});

test('R11: a replica that is made anew between the passes and the round', LIMIT, async () => {
  const { pair, target, fill } = await filledPair(3);
  let once = true;
  pair.during = async (call) => {
    if (call !== 'begin' || !once) return;
    once = false;
    pair.link?.cut();
    const { receiverWorld } = new Pair(large, 99);
    pair.receiverWorld = receiverWorld;
    await pair.startReplica();
  };
  const result = await firstRound(pair, target, fill);
  pair.during = null;
  if (result === null) return;
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'first point');
});

test(
  'R12: a first copy of an equal disk, the replica restarted in the middle of a pass',
  LIMIT,
  async () => {
    const { pair } = await filledPair(4);
    // A new start of the first copy: everything is equal, no frame is sent.
    pair.connect();
    assert.equal(await pair.contact(), 'fill');
    const target = pair.resuming(pair.target);
    const { parts } = pair.primaryNode;
    const fill = await fillByPasses(parts, target, newCounts('pass'), never);
    // Nobody noticed anything; now it restarts, with no frame acknowledged.
    pair.link?.cut();
    await turn();
    await pair.replicaNode.replica.close();
    await pair.startReplica();
    const result = await firstRound(pair, target, fill);
    pair.during = null;
    if (result === null) return;
    entriesTrue(pair.replicaNode.replica.table, pair.replicaNode.bytes(), 'own table', 'some');
  },
);

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

test(
  'R14: a round that grew the disk is committed, half applied, and then unreadable',
  LIMIT,
  async () => {
    let fails = false;
    const replicaFiles = (files: Pair['receiverWorld']) =>
      new Proxy(files, {
        get(real, name) {
          const value: unknown = Reflect.get(real, name, real);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            const result = value.apply(real, args) as unknown;
            if (name !== 'open' || !String(args[0]).endsWith('disk.digests')) return result;
            // Step 8 of the receiver breaks off between the growth of the table and its entries.
            return (result as Promise<object>).then(
              (handle) =>
                new Proxy(handle, {
                  get(file, call) {
                    const inner: unknown = Reflect.get(file, call, file);
                    if (typeof inner !== 'function') return inner;
                    return (...rest: unknown[]) => {
                      if (fails && call === 'writeNow') throw new Error('power fails here');
                      return inner.apply(file, rest) as unknown;
                    };
                  },
                }),
            );
          };
        },
      });
    // The disk as the daemon hands it out: no longer than the resource (resource-parts.ts), with
    // the check of file-device.ts.
    let clipped = false;
    const replicaDevice = (device: Device): Device =>
      new Proxy(device, {
        get(real, name) {
          if (clipped && name === 'sizeBytes') return shape.sizeBytes;
          const value: unknown = Reflect.get(real, name, real);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            if (clipped && name === 'nextData')
              ours(Number(args[0]) <= shape.sizeBytes, 'a search begins on the disk');
            return value.apply(real, args) as unknown;
          };
        },
      });
    const pair = await ready(12, { replicaFiles, replicaDevice } as never);
    const before = pair.replicaNode.bytes().slice();
    // As `growth` of story.ts does it.
    const { primaryNode } = pair;
    pair.link?.cut();
    await turn();
    await primaryNode.primary.closeClean();
    const sizeBytes = shape.sizeBytes + 3 * CHUNK_BYTES;
    await growDisk(pair.senderWorld, sizeBytes, 3);
    const file = await ResourceFile.load(pair.senderWorld, STATE);
    await file.update((state) => ({ ...state, sizeBytes, clean: null }));
    await pair.startPrimary();
    pair.connect();
    await pair.contact();
    pair.primaryNode.primary.volume.pending(0).markAll();
    fails = true;
    await pair.round();
    await assert.rejects(pair.replicaNode.replica.idle());
    fails = false;
    pair.link?.cut();
    await turn();
    pair.receiverWorld = pair.receiverWorld.afterCrash('all', seededRandom(1));
    const [committed] = (await pair.receiverWorld.list(STATE)).filter((name) =>
      name.startsWith('committed-'),
    );
    pair.receiverWorld.flip(`${STATE}/${committed}`, 300);
    clipped = true;
    await pair.startReplica();
    same(pair.replicaNode.bytes(), before, 'back at the point before');
  },
);

test(
  'R15: a target made anew, a bad block here: its neighbours are not taken for sent',
  LIMIT,
  async () => {
    const bad = badBlocks();
    const pair = await ready(13, { primaryDevice: bad.knob }, large);
    await pair.primaryNode.disk.write(
      0,
      Buffer.alloc(large.sizeBytes > MIB ? MIB : CHUNK_BYTES, 66),
    );
    await pair.wholeRound();
    // The replica's host is lost; an empty one takes its place.
    pair.link?.cut();
    pair.receiverWorld = new Pair(large, 99).receiverWorld;
    await pair.startReplica();
    pair.connect();
    bad.blocks.add(5 * 16 + 2);
    const image = pair.primaryNode.bytes().slice();
    assert.equal(await pair.meet(), 'fill');
    const counts = newCounts('round');
    await pair.wholeRound(counts);
    image.fill(0, (5 * 16 + 2) * BLOCK_BYTES, (5 * 16 + 3) * BLOCK_BYTES);
    same(pair.replicaNode.bytes(), image, `all but the bad block; damaged ${counts.damagedChunks}`);
  },
);
