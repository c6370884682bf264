// Merging undos: what it takes to drop points from the middle of a chain (H32). The undos of
// neighbouring points, oldest first, become one that leads from the point after the last of them
// back to the oldest: of each block the oldest undo that has it counts, and so does its digest of
// the chunk; the size is the oldest point's. That is what a reader finds who looks through all of
// them (point-reader.ts), so nothing of the oldest point changes. A file that is not whole ends it
// (FORMAT_BAD): nothing damaged gets a new checksum.
//
// Guarantee: the merged file is whole and durable under its name when this resolves; nothing else
// is changed. A crash before leaves NAME.part, one afterwards a file that no chain names: the next
// start removes both. Memory: for each undo 24 bytes a frame, and HELD_BYTES_MAX.
import type { FileHandle, Files } from '../base/files.js';
import { hex } from '../base/random.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  chunkMask,
  MIB,
} from '../base/units.js';
import { FRAME_BLOCK_BYTES_MAX, FRAME_ENTRIES_MAX, type FrameEntry } from '../format/changeset.js';
import type { IndexEntry } from '../format/changeset-index.js';
import { ChangesetWriter } from '../format/changeset-writer.js';
import { encodeFrame } from '../format/frame.js';
import type { Pack } from '../format/pack.js';
import type { PointRef } from '../lineage/lineage.js';
import { Held } from './held.js';
import { UndoIndex } from './undo-index.js';

const HELD_BYTES_MAX = 16 * MIB;

export interface MergeParts {
  readonly files: Files;
  readonly directory: string;
  readonly pack: Pack;
  /** Between two frames: waits until it is its turn again; rejects when it is to end. */
  readonly turn: () => Promise<void>;
}

/** An undo as the chain names it. `lost`: as far as they are named there. */
export interface MergedUndo {
  readonly name: string;
  readonly lost: readonly ChunkIndex[];
}

/** Name of the undo that leads from `to` back to `from`, over points that were dropped. */
export const mergedName = (from: PointRef, to: PointRef): string =>
  `undo-${hex(from.id)}-${hex(to.id)}`;

/** Merges `undos`, oldest first, into the file `name`; returns which of the lost chunks are lost in
 * it: those that an older undo has wholly are not. Errors FORMAT_BAD, of the files, of `turn`. */
export async function mergeUndos(
  parts: MergeParts,
  name: string,
  undos: readonly MergedUndo[],
): Promise<readonly ChunkIndex[]> {
  const { files, directory } = parts;
  const temporary = `${directory}/${name}.part`;
  const handle = await files.open(temporary, 'truncate');
  try {
    const lost = await writeMerged(parts, handle, undos);
    await handle.sync();
    await handle.close();
    await files.rename(temporary, `${directory}/${name}`);
    await files.syncDirectory(directory);
    return lost;
  } catch (error) {
    await handle.close().catch(() => undefined);
    // Where that fails too, the next start removes it.
    await files.remove(temporary).catch(() => undefined);
    throw error;
  }
}

async function writeMerged(
  { files, directory, pack, turn }: MergeParts,
  handle: FileHandle,
  undos: readonly MergedUndo[],
): Promise<readonly ChunkIndex[]> {
  const held = new Held(HELD_BYTES_MAX);
  const inputs: Input[] = [];
  for (const undo of undos) {
    const index = await UndoIndex.open(files, `${directory}/${undo.name}`, held);
    inputs.push({ index, lost: new Set(undo.lost), chunks: await Cursor.of(index) });
    await turn();
  }
  const [oldest, newest] = [inputs[0]?.index, inputs.at(-1)?.index];
  if (oldest === undefined || newest === undefined) return [];
  const { from, sizeBytes } = oldest.header;
  // No more than what it is made of, but for the ends of frames.
  await handle.reserve(inputs.reduce((sum, { index }) => sum + index.fileBytes, 0));
  const writer = await ChangesetWriter.create(handle, { ...newest.header, from, sizeBytes });
  const lost: ChunkIndex[] = [];
  const blocks = Buffer.allocUnsafeSlow(FRAME_BLOCK_BYTES_MAX);
  let [entries, filled]: [FrameEntry[], number] = [[], 0];
  const flush = async (): Promise<void> => {
    if (entries.length === 0) return;
    const frame = { number: writer.frames, entries, blocks: blocks.subarray(0, filled) };
    await writer.append(encodeFrame(frame, pack), entries);
    [entries, filled] = [[], 0];
    await turn();
  };
  for await (const each of chunksOf(inputs, sizeBytes)) {
    if (each.isLost) lost.push(each.entry.chunk);
    if (filled + CHUNK_BYTES > FRAME_BLOCK_BYTES_MAX || entries.length === FRAME_ENTRIES_MAX) {
      await flush();
    }
    entries.push(each.entry);
    filled = packed(each, blocks, filled);
  }
  await flush();
  await writer.finish();
  await handle.truncate(writer.endOffset);
  return lost;
}

interface Input {
  readonly index: UndoIndex;
  readonly lost: ReadonlySet<ChunkIndex>;
  readonly chunks: Cursor;
}

/** A chunk of the merged undo; of `bytes`, the whole chunk, the entry's blocks are set. */
interface MergedChunk {
  readonly entry: FrameEntry;
  readonly bytes: Uint8Array;
  readonly isLost: boolean;
}

/** All that the inputs have within `sizeBytes`, ascending. `bytes` is used again. */
async function* chunksOf(inputs: readonly Input[], sizeBytes: number): AsyncGenerator<MergedChunk> {
  const room = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const end = chunkCount(sizeBytes);
  for (;;) {
    const chunk = Math.min(...inputs.map(({ chunks }) => chunks.chunk));
    if (chunk >= end) return;
    const bytes = room.subarray(0, chunkLength(chunk, sizeBytes));
    let missing = chunkMask(chunk, sizeBytes);
    let [mask, zero, isLost] = [0, 0, false];
    let digest: Uint8Array | null = null;
    for (const { index, lost, chunks } of inputs) {
      const entries = await chunks.take(chunk);
      if (entries.length > 0 && missing !== 0 && lost.has(chunk)) isLost = true;
      for (const entry of entries) {
        digest ??= entry.digest;
        const takes = entry.mask & missing;
        if (takes === 0) continue;
        await index.lay(entry, takes, bytes);
        mask |= takes;
        zero |= takes & entry.zero;
        missing &= ~takes;
      }
    }
    if (digest !== null && mask !== 0) {
      yield { entry: { chunk, mask, zero, digest }, bytes, isLost };
    }
  }
}

/** Copies the blocks that the entry carries behind `at`; returns where they end. */
function packed({ entry, bytes }: MergedChunk, into: Uint8Array, at: number): number {
  const carried = entry.mask & ~entry.zero;
  let end = at;
  for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
    if ((carried & (1 << block)) === 0) continue;
    const content = bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    into.set(content, end);
    end += content.length;
  }
  return end;
}

/** The entries of an undo by chunk, ascending. */
class Cursor {
  readonly #entries: AsyncGenerator<IndexEntry>;
  #next: IndexEntry | null = null;

  private constructor(entries: AsyncGenerator<IndexEntry>) {
    this.#entries = entries;
  }

  static async of(index: UndoIndex): Promise<Cursor> {
    const cursor = new Cursor(index.ascending());
    await cursor.#advance();
    return cursor;
  }

  /** The next one; Infinity: none is left. */
  get chunk(): ChunkIndex {
    return this.#next?.chunk ?? Number.POSITIVE_INFINITY;
  }

  /** Those of `chunk`, if that is the next one. */
  async take(chunk: ChunkIndex): Promise<readonly IndexEntry[]> {
    const found: IndexEntry[] = [];
    while (this.#next !== null && this.#next.chunk === chunk) {
      found.push(this.#next);
      await this.#advance();
    }
    return found;
  }

  async #advance(): Promise<void> {
    const next = await this.#entries.next();
    this.#next = next.done === true ? null : next.value;
  }
}
