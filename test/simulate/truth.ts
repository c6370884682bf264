// What is true of a run, beside the program: every cut with the disk as it was in that moment, what
// of it an operator has been told is safe, and the judgements that compare (DESIGN.md §3).
import { equalBytes } from '../../src/base/digest.js';
import { hex } from '../../src/base/random.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, CHUNK_BYTES, chunkLength } from '../../src/base/units.js';
import { recordOf } from '../../src/round/contact.js';
import type { RoundParts } from '../../src/round/parts.js';
import type { Slot } from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import type { Volume } from '../../src/volume/volume.js';
import { Broken } from './broken.js';
import { Drifts } from './drift.js';

export interface Cut {
  readonly id: string;
  readonly number: number;
  readonly target: string;
  /** Of the primary's epoch. */
  readonly epoch: string;
  /** In the order of all cuts of the run. */
  readonly order: number;
  /** The disk at the cut. What could not be read there is set when the point stands (H21). */
  image: Uint8Array;
  /** Somebody has been told that it is committed. */
  acknowledged: boolean;
  /** Its target was made anew or set back since: who is told of it later is told too late. */
  forgotten: boolean;
}

export class Truth {
  readonly cuts = new Map<string, Cut>();
  readonly drifts = new Drifts();
  /** Files of which a byte is not what was written: `NODE FILE`. */
  readonly rotted = new Set<string>();
  /** Comparisons of a whole replica with its cut. */
  judged = 0;
  #order = 0;

  cut(id: Uint8Array | string, what: string): Cut {
    const key = typeof id === 'string' ? id : hex(id);
    const found = this.cuts.get(key);
    if (found === undefined) throw new Broken(`D2: ${what}: point ${key} was never cut`);
    return found;
  }

  /** Notes the cuts that this primary has made since the last look; nothing has written its disk
   * since they were made. */
  note(volume: Volume, rounds: readonly RoundParts[], disk: () => Uint8Array): void {
    for (const round of rounds) {
      const slot = volume.core.slots[round.slot];
      const active = slot?.active ?? false;
      if (!active) continue;
      const { resourceFile, target } = round;
      const { proposed } = recordOf(resourceFile, target);
      if (proposed === null) continue;
      const id = hex(proposed.point.id);
      if (this.cuts.has(id)) continue;
      this.#order += 1;
      const epoch = resourceFile.state.epochs.at(-1)?.id ?? new Uint8Array(0);
      this.cuts.set(id, {
        id,
        number: proposed.point.number,
        target,
        epoch: hex(epoch),
        order: this.#order,
        image: disk(),
        acknowledged: false,
        forgotten: false,
      });
    }
  }

  /** The newest point that `target` was said to have, of those it has not been set back behind. */
  lastAcknowledged(target: string): Cut | null {
    let last: Cut | null = null;
    for (const cut of this.cuts.values()) {
      if (cut.acknowledged && !cut.forgotten && cut.target === target) last = cut;
    }
    return last;
  }

  /** The replica of that name was made anew, or set back by an administrator. */
  forget(target: string): void {
    for (const cut of this.cuts.values()) if (cut.target === target) cut.forgotten = true;
  }

  /** D2: chunks that could not be read at the primary hold what the target had (H21). */
  damaged(cut: Cut, chunks: readonly number[], found: Uint8Array): void {
    for (const chunk of chunks) {
      const [from, to] = [chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES];
      cut.image = cut.image.slice();
      cut.image.set(found.subarray(from, to), from);
    }
  }
}

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
  throw new Broken(`${what}: ${sizes}, blocks ${blocks.slice(0, 20).join(', ')} differ`);
}

/** W1, D1: every block that differs from the target's point is marked for it; `untracked`: blocks
 * that others wrote. */
export function marksCover(
  volume: Volume,
  slot: number,
  disk: Uint8Array,
  image: Uint8Array,
  untracked: ReadonlySet<number>,
  what: string,
): void {
  const maps = [...volume.core.live, ...volume.maps(slot)];
  const chunks = Math.ceil(Math.max(disk.length, image.length) / CHUNK_BYTES);
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    const [from, to] = [chunk * CHUNK_BYTES, chunk * CHUNK_BYTES + chunkLength(chunk, disk.length)];
    if (equalBytes(disk.subarray(from, to), image.subarray(from, to))) continue;
    const mask = maps.reduce((all, map) => all | map.chunkMask(chunk), 0);
    for (let at = 0; at < BLOCKS_PER_CHUNK; at += 1) {
      const block = chunk * BLOCKS_PER_CHUNK + at;
      const [start, end] = [block * BLOCK_BYTES, Math.min((block + 1) * BLOCK_BYTES, disk.length)];
      if (start >= end || ((mask >>> at) & 1) === 1 || untracked.has(block)) continue;
      if (equalBytes(disk.subarray(start, end), image.subarray(start, end))) continue;
      throw new Broken(`D1: ${what}: block ${block} differs from the target and is not marked`);
    }
  }
}

/** By the maps, each of them: the one that was frozen, and a live one that is not folded yet. */
function isFrozen({ core }: Volume, slot: Slot, chunk: number): boolean {
  const frozen = slot.maps[Atomics.load(core.control, slot.base + M.SLOT_FROZEN)];
  const swapped = core.live[Atomics.load(core.control, slot.base + M.SLOT_SWAPPED)];
  return [frozen, swapped].some((map) => (map?.chunkMask(chunk) ?? 0) !== 0);
}

/** W1 and W2, just before a guest's bytes go to the disk: every block is marked, and no chunk of it
 * is still frozen and neither preserved nor released. */
export function mayWrite(volume: Volume, offset: number, length: number): void {
  const { core } = volume;
  const [first, last] = [
    Math.floor(offset / BLOCK_BYTES),
    Math.floor((offset + length - 1) / BLOCK_BYTES),
  ];
  const live = core.liveMap();
  for (let block = first; block <= last; block += 1) {
    if (!live.anyMarked(block, block)) {
      throw new Broken(`W1: block ${block} is written and not marked`);
    }
  }
  for (const slot of core.slots) {
    if (!slot.active || slot.failed) continue;
    const from = Math.floor(offset / CHUNK_BYTES);
    for (let chunk = from; chunk * CHUNK_BYTES < offset + length; chunk += 1) {
      const state = Atomics.load(slot.states, chunk);
      const kept = state === M.PRESERVED_STATE || state === M.RELEASED;
      if (!kept && isFrozen(volume, slot, chunk)) {
        throw new Broken(`W2: chunk ${chunk} is frozen and written`);
      }
    }
  }
}
