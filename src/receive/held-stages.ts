// What is staged here of rounds that ended without a commit: kept until a round from the same point
// takes its chunks over by digest, is committed, or another point or epoch makes it worthless (D3,
// H31). Nothing of it is trusted: a frame is read and checked again, and what is taken over is
// verified with its round like anything received (C2). Nothing of it is needed: what is damaged or
// on a bad medium is sent again, and fails no round. Memory: a number a chunk, HELD_CHUNKS_MAX of
// them, and a frame a file. Time: reading a frame takes as long as it has chunks (16384 where they
// are zeroes), finding one in it does not, for this is the round thread. The files belong to nobody
// else while this object has them.
import { present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import type { FileHandle, Files } from '../base/files.js';
import type { ChunkIndex } from '../base/units.js';
import {
  type ChangesetHeader,
  FRAME_BLOCK_BYTES_MAX,
  type FrameEntry,
} from '../format/changeset.js';
import { CHANGESET_HEADER_BYTES } from '../format/changeset-file.js';
import { openFrame, readHeader, scanFrames } from '../format/changeset-reader.js';
import { decodeFrame, frameHead } from '../format/frame.js';
import { entryBytes } from '../format/frame-spans.js';
import { unpack } from '../format/pack.js';
import { isUnreadable } from '../format/unreadable.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { ReuseItem } from '../target/target.js';

/** Files of ended rounds that are kept, the newest ones. */
export const HELD_FILES_MAX = 4;
/** Chunks of them that are known: 128 GiB of disk. Further ones are sent again. */
export const HELD_CHUNKS_MAX = 2 * 1024 * 1024;

interface HeldFile {
  readonly handle: FileHandle;
  readonly header: ChangesetHeader;
}

interface HeldFrame {
  readonly file: HeldFile;
  readonly offset: number;
}

/** A frame read back: its chunks with their blocks. Empty: it could not be. */
interface OpenFrame {
  readonly index: number;
  readonly pieces: ReadonlyMap<ChunkIndex, Piece>;
}

interface Piece {
  readonly entry: FrameEntry;
  readonly blocks: Uint8Array;
}

export class HeldStages {
  readonly #files: Files;
  readonly #open: HeldFile[];
  readonly #frames: HeldFrame[] = [];
  /** Frame of each chunk, the newest one. */
  readonly #frameOf = new Map<ChunkIndex, number>();
  /** The frame of each file that was read last. */
  readonly #last = new Map<HeldFile, OpenFrame>();

  private constructor(files: Files, open: HeldFile[]) {
    this.#files = files;
    this.#open = open;
  }

  /** Looks through the staged files of `directory` but `except`; those that do not begin at `from`
   * are removed, and the oldest beyond HELD_FILES_MAX. */
  static async open(
    files: Files,
    directory: string,
    facts: { readonly resource: Uint8Array; readonly from: PointRef; readonly sizeBytes: number },
    except: string | null,
  ): Promise<HeldStages> {
    const found: HeldFile[] = [];
    for (const name of await files.list(directory)) {
      if (!name.startsWith('stage-') || name === except) continue;
      const path = `${directory}/${name}`;
      const handle = await openOrNull(files, path);
      if (handle === null) continue;
      const header = await readHeader(handle).catch(() => null);
      const useful =
        header !== null &&
        header.sizeBytes === facts.sizeBytes &&
        equalBytes(header.resource, facts.resource) &&
        sameId(header.from?.id, facts.from.id);
      if (useful) found.push({ handle, header });
      else await removeFile(files, handle);
    }
    found.sort((a, b) => a.header.to.number - b.header.to.number);
    for (const old of found.splice(0, Math.max(0, found.length - HELD_FILES_MAX))) {
      await removeFile(files, old.handle);
    }
    const held = new HeldStages(files, found);
    for (const file of found) await held.#scan(file);
    return held;
  }

  /** Chunks that can be taken over. */
  get chunks(): number {
    return this.#frameOf.size;
  }

  /** How chunks first..first+count-1 are staged, ascending. */
  async entries(first: ChunkIndex, count: number): Promise<readonly FrameEntry[]> {
    const found: FrameEntry[] = [];
    if (this.#frameOf.size === 0) return found;
    for (let chunk = first; chunk < first + count; chunk += 1) {
      const index = this.#frameOf.get(chunk);
      if (index === undefined) continue;
      const entry = (await this.#frame(index)).pieces.get(chunk)?.entry;
      if (entry) found.push({ ...entry, digest: entry.digest.slice() });
    }
    return found;
  }

  /** The chunks of `items`, which ascend, as a frame's entries and blocks; null when one is not
   * here with that digest. */
  async take(
    items: readonly ReuseItem[],
  ): Promise<{ entries: readonly FrameEntry[]; blocks: Uint8Array } | null> {
    const entries: FrameEntry[] = [];
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for (const { chunk, digest } of items) {
      const index = this.#frameOf.get(chunk);
      const piece = index === undefined ? null : (await this.#frame(index)).pieces.get(chunk);
      if (!piece || !equalBytes(piece.entry.digest, digest)) return null;
      bytes += piece.blocks.length;
      if (bytes > FRAME_BLOCK_BYTES_MAX) return null;
      entries.push({ ...piece.entry, digest: piece.entry.digest.slice() });
      pieces.push(piece.blocks.slice());
    }
    return { entries, blocks: Buffer.concat(pieces) };
  }

  /** Removes the files: another point, another epoch, or they are needed no more. */
  async drop(): Promise<void> {
    this.#forget();
    for (const { handle } of this.#open.splice(0)) await removeFile(this.#files, handle);
  }

  /** Lets go of the files, which stay. */
  async close(): Promise<void> {
    this.#forget();
    for (const { handle } of this.#open.splice(0)) await handle.close();
  }

  #forget(): void {
    this.#frameOf.clear();
    this.#last.clear();
  }

  /** What comes after a place where the file is bad is not looked for. */
  async #scan(file: HeldFile): Promise<void> {
    await this.#scanFrames(file).catch((error: unknown) => {
      if (!isUnreadable(error)) throw error;
    });
  }

  async #scanFrames(file: HeldFile): Promise<void> {
    const { handle, header } = file;
    const end = await handle.size();
    for await (const stored of scanFrames(handle, CHANGESET_HEADER_BYTES, end)) {
      const { entries } = frameHead(stored.bytes, handle.path, unpack, header.sizeBytes);
      if (this.#frameOf.size + entries.length > HELD_CHUNKS_MAX) return;
      this.#frames.push({ file, offset: stored.offset });
      for (const { chunk } of entries) this.#frameOf.set(chunk, this.#frames.length - 1);
    }
  }

  /** Neighbouring chunks of a file are mostly of one frame: the last one is kept. */
  async #frame(index: number): Promise<OpenFrame> {
    const held = present(this.#frames[index], 'a chunk is in a frame that was scanned');
    const last = this.#last.get(held.file);
    if (last?.index === index) return last;
    // It may not read back as it was scanned: then its chunks are sent again.
    const pieces = await piecesOf(held).catch(() => new Map<ChunkIndex, Piece>());
    const frame = { index, pieces };
    this.#last.set(held.file, frame);
    return frame;
  }
}

/** What stands in a frame, by chunk. Errors of the file, FORMAT_BAD. */
async function piecesOf({ file, offset }: HeldFrame): Promise<ReadonlyMap<ChunkIndex, Piece>> {
  const { handle, header } = file;
  const stored = await openFrame(handle, offset);
  const frame = decodeFrame(stored.bytes, handle.path, unpack, header.sizeBytes);
  const pieces = new Map<ChunkIndex, Piece>();
  let at = 0;
  for (const entry of frame.entries) {
    const end = at + entryBytes(entry, header.sizeBytes);
    pieces.set(entry.chunk, { entry, blocks: frame.blocks.subarray(at, end) });
    at = end;
  }
  return pieces;
}

/** Null: the medium cannot even open it; removing it may fail as well. */
async function openOrNull(files: Files, path: string): Promise<FileHandle | null> {
  try {
    return await files.open(path, 'read');
  } catch (error) {
    if (isUnreadable(error)) return null;
    throw error;
  }
}

async function removeFile(files: Files, handle: FileHandle): Promise<void> {
  await handle.close();
  await files.remove(handle.path);
}
