// What must hold at both ends, said in terms of the promises of DESIGN.md §3, on whole disks.
import assert from 'node:assert/strict';
import { digestOf, equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  chunkCount,
  chunkLength,
} from '../../src/base/units.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { decodeFrame } from '../../src/format/frame.js';
import { blockSpans } from '../../src/format/frame-spans.js';
import { unpack } from '../../src/format/pack.js';
import type { DigestTable } from '../../src/tracking/digest-table.js';
import type { PrimaryNode, ReplicaNode } from './nodes.js';
import { DISK, STATE } from './nodes.js';
import type { Pair } from './pair.js';

/** Equal disks; says where they are not. */
export function same(found: Uint8Array, wanted: Uint8Array, what: string): void {
  if (equalBytes(found, wanted)) return;
  const length = Math.max(found.length, wanted.length);
  const blocks: number[] = [];
  for (let block = 0; block * BLOCK_BYTES < length; block += 1) {
    const [from, to] = [block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES];
    if (!equalBytes(found.subarray(from, to), wanted.subarray(from, to))) blocks.push(block);
  }
  const sizes = `${found.length} and ${wanted.length} bytes`;
  assert.fail(`${what}: ${sizes}, blocks ${blocks.slice(0, 20).join(', ')} differ`);
}

/** C1 and D2: the replica's disk is exactly one point, and none older than an acknowledged one. */
export function replicaAtPoint(pair: Pair, node: ReplicaNode): void {
  const { point } = node.replica.record;
  const acknowledged = pair.cuts.findLastIndex((cut) => cut.answered);
  if (point === null) {
    assert.equal(acknowledged, -1, 'C1: an acknowledged point is gone');
    return;
  }
  const cut = pair.cutOf(point);
  assert.ok(pair.cuts.indexOf(cut) >= acknowledged, 'C1: set back behind an acknowledged point');
  same(node.bytes(), cut.image, `C1: the replica at point ${point.number}`);
  ownTableTrue(node);
}

/** The replica's own table is true for its disk at its point. */
function ownTableTrue(node: ReplicaNode): void {
  const { replica } = node;
  assert.ok(replica.table.point !== null, 'the table of a replica at rest names its point');
  assert.deepEqual(replica.table.point, replica.record.point, 'and it is the point of the state');
  entriesTrue(replica.table, node.bytes(), 'own table', 'all');
}

/** Every entry that is known is the digest of `image`; with 'all', every entry is known. */
export function entriesTrue(
  table: DigestTable,
  image: Uint8Array,
  what: string,
  known: 'all' | 'some',
): void {
  for (let chunk = 0; chunk < chunkCount(image.length); chunk += 1) {
    const start = chunk * CHUNK_BYTES;
    const content = image.subarray(start, start + chunkLength(chunk, image.length));
    const entry = table.get(chunk);
    if (entry === null) assert.equal(known, 'some', `${what}: chunk ${chunk} is unknown`);
    else assert.ok(equalBytes(entry, digestOf(content)), `${what}: chunk ${chunk} is not true`);
  }
}

/** H7: what the sender's table says of the target is true, if it says of which point. */
export function senderTableTrue(pair: Pair, node: PrimaryNode): void {
  const { table } = node.parts;
  if (table.point === null) return;
  entriesTrue(table, pair.cutOf(table.point).image, 'table of the target', 'some');
}

/** W1, D1: every block of `now` (the local disk) that differs from the target's point is marked
 * dirty for it. */
export function marksCover(
  node: PrimaryNode,
  image: Uint8Array,
  what: string,
  now = node.bytes(),
  slot = 0,
): void {
  const { volume } = node.primary;
  const maps = [...volume.maps(slot), volume.core.liveMap()];
  for (let block = 0; block * BLOCK_BYTES < now.length; block += 1) {
    const [from, to] = [block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES];
    if (equalBytes(now.subarray(from, to), image.subarray(from, to))) continue;
    const chunk = Math.floor(block / BLOCKS_PER_CHUNK);
    const bit = 1 << (block % BLOCKS_PER_CHUNK);
    const marked = maps.some((map) => (map.chunkMask(chunk) & bit) !== 0);
    assert.ok(marked, `${what}: block ${block} differs from the target and is not marked`);
  }
}

/** D1, H6: the same of what is durable of the local disk: nothing was dropped too early. */
export function droppedIsDurable(node: PrimaryNode, image: Uint8Array): void {
  const durable = node.world.afterCrash('all', seededRandom(1)).peek(DISK);
  assert.ok(durable !== null, 'the disk is there');
  marksCover(node, image, 'on the medium', durable.subarray(0, node.bytes().length));
}

/** Every point of the chain reads as its cut: the disk, overlaid with the undos back to it. */
export async function historyTrue(pair: Pair, node: ReplicaNode): Promise<void> {
  const { world, replica } = node;
  let disk = node.bytes().slice();
  for (const { point, undo, lost } of [...replica.record.chain].reverse()) {
    if (undo !== null) {
      const handle = await world.open(`${STATE}/${undo}`, 'read');
      const changeset = await openChangeset(handle);
      const { sizeBytes } = changeset.header;
      assert.ok(sizeBytes <= disk.length, 'an older point is no larger (H14)');
      disk = disk.subarray(0, sizeBytes);
      for await (const { bytes: stored } of changeset.frames()) {
        const frame = decodeFrame(stored, undo, unpack, disk.length);
        for (const { offset, length, bytes: old } of blockSpans(frame, disk.length)) {
          if (old === null) disk.fill(0, offset, offset + length);
          else disk.set(old, offset);
        }
      }
      await handle.close();
    }
    const { image } = pair.cutOf(point);
    if (!pair.drifted) assert.deepEqual(lost, [], `nothing of point ${point.number} is lost`);
    // H27: what had changed behind the replica's back is lost at that point, and said to be.
    for (const chunk of lost) {
      const [from, to] = [chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES];
      disk.set(image.subarray(from, to), from);
    }
    same(disk, image, `D2: history at point ${point.number}`);
  }
}
