// A disk that has grown here and not yet at the target (H14): what the sender asks for, and a
// receiver that dies in the middle of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { assert as ours } from '../../src/base/assert.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import { same } from './checks.js';
import { another, ready, shape } from './ladder-material.js';
import { limited } from './limit.js';
import { STATE } from './nodes.js';
import type { Pair } from './pair.js';
import { grow } from './story.js';

const LIMIT = limited(20_000);

test(
  'own table lost, disk grown: no digest is asked for beyond the end of the target (H7)',
  LIMIT,
  async () => {
    const pair = await ready(21);
    pair.link?.cut();
    await grow(pair, shape.sizeBytes + 2 * CHUNK_BYTES);
    await pair.senderWorld.remove(`${STATE}/b.digests`);
    await pair.startPrimary();
    pair.connect();
    await pair.contact();
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round after the growth');
    await another(pair);
  },
);

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
    pair.link?.cut();
    await turn();
    await grow(pair, shape.sizeBytes + 3 * CHUNK_BYTES);
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
