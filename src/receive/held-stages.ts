// What is staged here of rounds that ended without a commit: kept until a round from the same point
// takes its chunks over by digest, is committed, or another point or epoch makes it worthless (D3,
// H31). Nothing of it is trusted: a frame is read and checked again, and what is taken over is
// verified with its round like anything received (C2). Memory: a number a chunk, HELD_CHUNKS_MAX of
// them. The files belong to nobody else while this object has them.
import { equalBytes } from '../base/digest.js';
import type { FileHandle, Files } from '../base/files.js';
import type { ChunkIndex } from '../base/units.js';
import {
  type ChangesetHeader,
  FRAME_BLOCK_BYTES_MAX,
  type Frame,
  type FrameEntry,
} from '../format/changeset.js';
import { CHANGESET_HEADER_BYTES } from '../format/changeset-file.js';
import { openFrame, readHeader, scanFrames } from '../format/changeset-reader.js';
import { decodeFrame, frameHead } from '../format/frame.js';
import { entryBytes } from '../format/frame-spans.js';
import { unpack } from '../format/pack.js';
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

/** A frame read back: its entries and blocks. */
interface OpenFrame {
  readonly index: number;
  readonly frame: Frame;
}

export class HeldStages {
  readonly #files: Files;
  readonly #open: HeldFile[];
  readonly #frames: HeldFrame[] = [];
  /** Frame of each chunk, the newest one. */
  readonly #frameOf = new Map<ChunkIndex, number>();
  #last: OpenFrame | null = null;

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
      const handle = await files.open(path, 'read');
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
      const frame = await this.#frame(index);
      const entry = frame?.entries.find((each) => each.chunk === chunk);
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
      const frame = index === undefined ? null : await this.#frame(index);
      const piece = frame === null ? null : pieceOf(frame, chunk, this.#sizeOf(index));
      if (piece === null || !equalBytes(piece.entry.digest, digest)) return null;
      bytes += piece.blocks.length;
      if (bytes > FRAME_BLOCK_BYTES_MAX) return null;
      entries.push({ ...piece.entry, digest: piece.entry.digest.slice() });
      pieces.push(piece.blocks.slice());
    }
    return { entries, blocks: Buffer.concat(pieces) };
  }

  /** Removes the files: another point, another epoch, or they are needed no more. */
  async drop(): Promise<void> {
    this.#frameOf.clear();
    for (const { handle } of this.#open.splice(0)) await removeFile(this.#files, handle);
  }

  /** Lets go of the files, which stay. */
  async close(): Promise<void> {
    this.#frameOf.clear();
    for (const { handle } of this.#open.splice(0)) await handle.close();
  }

  async #scan(file: HeldFile): Promise<void> {
    const { handle, header } = file;
    const end = await handle.size();
    for await (const stored of scanFrames(handle, CHANGESET_HEADER_BYTES, end)) {
      let entries: readonly FrameEntry[];
      try {
        entries = frameHead(stored.bytes, handle.path, unpack, header.sizeBytes).entries;
      } catch {
        return; // damaged: what comes after it is not looked for
      }
      if (this.#frameOf.size + entries.length > HELD_CHUNKS_MAX) return;
      this.#frames.push({ file, offset: stored.offset });
      for (const { chunk } of entries) this.#frameOf.set(chunk, this.#frames.length - 1);
    }
  }

  #sizeOf(index: number | undefined): number {
    return this.#frames[index ?? 0]?.file.header.sizeBytes ?? 0;
  }

  /** Neighbouring chunks are mostly of one frame: the last one is kept. */
  async #frame(index: number): Promise<Frame | null> {
    if (this.#last?.index === index) return this.#last.frame;
    const held = this.#frames[index];
    if (held === undefined) return null;
    const { handle, header } = held.file;
    try {
      const stored = await openFrame(handle, held.offset);
      const frame = decodeFrame(stored.bytes, handle.path, unpack, header.sizeBytes);
      this.#last = { index, frame };
      return frame;
    } catch {
      return null; // it does not read back as it was scanned: sent again
    }
  }
}

function pieceOf(
  frame: Frame,
  chunk: ChunkIndex,
  sizeBytes: number,
): { entry: FrameEntry; blocks: Uint8Array } | null {
  let at = 0;
  for (const entry of frame.entries) {
    const bytes = entryBytes(entry, sizeBytes);
    if (entry.chunk === chunk) return { entry, blocks: frame.blocks.subarray(at, at + bytes) };
    at += bytes;
  }
  return null;
}

async function removeFile(files: Files, handle: FileHandle): Promise<void> {
  await handle.close();
  await files.remove(handle.path);
}
