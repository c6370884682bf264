// Where the acts begin, and the round that most of them are a part of. Sizes are bytes.
import { setImmediate as turn } from 'node:timers/promises';
import { CHUNK_BYTES, MIB, SECTOR_BYTES } from '../../src/base/units.js';
import type { Shape } from '../crash/nodes.js';
import type { Pair } from '../crash/pair.js';

export const shape: Shape = {
  sizeBytes: 3 * CHUNK_BYTES + SECTOR_BYTES,
  extentBytes: CHUNK_BYTES,
  keepdirty: 0,
  spillBytes: 4 * MIB,
  retain: 3,
};

/** Both ends at point number `points`, everything durable, the guest still. */
export async function atPoint(pair: Pair, points: number): Promise<void> {
  await pair.startReplica();
  await pair.startPrimary();
  pair.connect();
  await pair.guest.some(pair.primaryNode.disk, 3);
  await pair.meet();
  await pair.wholeRound();
  for (let point = 2; point <= points; point += 1) {
    await pair.guest.some(pair.primaryNode.disk, 3);
    await pair.wholeRound();
  }
  await turn();
  pair.senderWorld.settle();
  pair.receiverWorld.settle();
}

/** A block in each of two chunks, the first one and the last. */
export async function writeBoth(pair: Pair): Promise<void> {
  const { disk } = pair.primaryNode;
  await disk.write(4096, pair.random.bytes(4096));
  await disk.write(disk.sizeBytes - SECTOR_BYTES, pair.random.bytes(SECTOR_BYTES));
}

/** A round with a guest that writes at its begin and at its commit, and a checkpoint between, after
 * which no intent bit covers what is frozen (H9); the edges as they come. */
export async function round(pair: Pair, edges: { asked?: () => void; answered?: () => void }) {
  pair.during = async (call) => {
    const { disk, primary } = pair.primaryNode;
    if (call === 'begin') {
      await pair.guest.some(disk, 1);
      await primary.dirty.checkpoint();
    }
    if (call === 'commit') {
      // Its extent has no intent bit now.
      await disk.write(CHUNK_BYTES + 8192, pair.random.bytes(4096));
      edges.asked?.();
    }
  };
  pair.onCommitted = () => edges.answered?.();
  return pair.round();
}
