// The undo chain of a replica as a crash left it, before any recovery: what the published state
// names is there and whole (H32), at every instant; and after an open nothing else is there.
import assert from 'node:assert/strict';
import { codeOf } from '../../src/base/errors.js';
import { hex } from '../../src/base/random.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import { type ReplicaNode, STATE } from '../crash/nodes.js';
import type { CrashWorld } from '../world/memory-files.js';

/** Every undo that the state names stands whole, and goes back to the point it is named for. */
export async function chainWhole(world: CrashWorld): Promise<void> {
  const state = await publishedState(world);
  if (state === null) return;
  const { chain, point } = state.replica;
  assert.deepEqual(chain.at(-1)?.point ?? null, point, 'C1: the chain ends at the point');
  for (const [at, entry] of chain.entries()) {
    const isLast = at === chain.length - 1;
    assert.equal(entry.undo === null, isLast, `H32: the undo of point ${entry.point.number}`);
    if (entry.undo !== null) await undoWhole(world, entry.undo, entry.point.id);
  }
}

async function publishedState(world: CrashWorld) {
  try {
    return (await ResourceFile.load(world, STATE)).state;
  } catch (error) {
    if (codeOf(error) === 'STATE_MISSING') return null;
    throw error;
  }
}

async function undoWhole(world: CrashWorld, name: string, id: Uint8Array): Promise<void> {
  const path = `${STATE}/${name}`;
  assert.ok(await world.exists(path), `H32: the chain names ${name}, which is lost`);
  const handle = await world.open(path, 'read');
  const undo = await openChangeset(handle);
  assert.equal(hex(undo.header.from?.id ?? new Uint8Array(0)), hex(id), `H32: ${name} is not its`);
  for await (const _ of undo.frames());
  await handle.close();
}

/** After an open: no file of an apply but those that the chain names. */
export async function leftoversGone(node: ReplicaNode): Promise<void> {
  const { chain } = node.replica.record;
  const named = new Set(chain.map(({ undo }) => undo));
  const names = await node.world.list(STATE);
  const stray = names.filter(
    (name) =>
      name.endsWith('.part') ||
      name.startsWith('committed-') ||
      (name.startsWith('undo-') && !named.has(name)),
  );
  assert.deepEqual(stray, [], 'H32: leftovers are gone after an open');
}
