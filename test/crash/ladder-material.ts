// Material of the ladder tests: a pair that has its first point, a round that is begun by hand or
// cut at some call, files of the receiver, and the reason of a refusal.
import assert from 'node:assert/strict';
import { codeOf } from '../../src/base/errors.js';
import { MIB } from '../../src/base/units.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { type Begin, TargetError } from '../../src/target/target.js';
import { same } from './checks.js';
import { type Knobs, type Shape, STATE } from './nodes.js';
import { Pair } from './pair.js';

export const shape: Shape = {
  sizeBytes: 256 * 1024 + 512,
  extentBytes: 65_536,
  keepdirty: 0,
  spillBytes: 4 * MIB,
  retain: 3,
};

/** Three frames of data and more. */
export const large = { ...shape, sizeBytes: 4 * MIB };

/** Both ends started, connected, filled, at point 1; the guest has been still. */
export async function ready(seed: number, knobs: Knobs = {}, size = shape): Promise<Pair> {
  const pair = new Pair(size, seed, knobs);
  await started(pair);
  await pair.meet();
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the first point');
  return pair;
}

export async function started(pair: Pair): Promise<void> {
  await pair.startReplica();
  await pair.startPrimary();
  pair.connect();
}

/** Something is dirty, then a round to the replica's disk. */
export async function another(pair: Pair): Promise<PointRef> {
  await pair.guest.some(pair.primaryNode.disk, 3);
  const { point } = await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `point ${point.number}`);
  return point;
}

/** A begin as runRound makes it, to be spoilt by `change`. */
export function beginOf(pair: Pair, change: Partial<Begin> = {}): Begin {
  const { state } = pair.primaryNode.resourceFile;
  const epoch = state.epochs.at(-1);
  assert.ok(state.resource !== null && epoch !== undefined, 'a primary has id and epoch');
  const id = pair.random.bytes(16);
  return {
    kind: 'round',
    resource: state.resource,
    round: id,
    epoch,
    from: state.targets['b']?.point ?? null,
    to: { id, number: 90, timeMs: 90 },
    sizeBytes: state.sizeBytes,
    spaceBytes: 4096,
    resumeAt: 0,
    fill: change.from === null ? id : null,
    again: false,
    ...change,
  };
}

/** Cuts the link at the call `name`, number `at` of its kind (from 0); then `then`. */
export function cutAt(
  pair: Pair,
  name: string,
  at: number,
  then: () => Promise<void> = async () => {},
): void {
  let calls = 0;
  pair.during = async (call) => {
    if (call !== name) return;
    calls += 1;
    if (calls !== at + 1) return;
    pair.link?.cut();
    await then();
  };
}

/** Names of the receiver's files that begin so. */
export const stateFiles = async (pair: Pair, prefix: string): Promise<string[]> =>
  (await pair.receiverWorld.list(STATE)).filter((name) => name.startsWith(prefix));

/** One block of chunk 0; `digest` decides whether it fits. */
export function frameOf(block: Uint8Array, digest: Uint8Array): Promise<Uint8Array> {
  return inlineCompute(packRaw).frame(0, [{ chunk: 0, mask: 1, zero: 0, digest }], [block]);
}

/** For assert.rejects: refused by the target, for that reason. */
export const refusedAs =
  (reason: string, text = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof TargetError, String(error));
    assert.equal(error.fault.code, 'TARGET_REFUSED');
    assert.equal('reason' in error.fault && error.fault.reason, reason);
    assert.match(error.message, text);
    return true;
  };

export const coded =
  (code: string) =>
  (error: unknown): boolean => {
    assert.equal(codeOf(error), code, String(error));
    return true;
  };
