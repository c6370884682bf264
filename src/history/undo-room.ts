// Room for the undo of a round, in a file of its own from its begin to its apply. What is committed
// must be possible to apply, and space that was given back in between may be anybody's by then
// (H29). Names, and so what a crash leaves:
//   room-POINT.part   reserved at BEGIN; the directory is synced with the commit. Before that the
//                     start removes it, as everything that ends so and no apply needs any more.
//   undo-POINT.part   the same file, being written by the apply. Where a crash or an error breaks
//                     that off, the next try writes it from its beginning, in the same space.
// A file that is not there costs its reservation and nothing else. Lengths are bytes.
import type { FileHandle, Files } from '../base/files.js';
import { hex } from '../base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES } from '../base/units.js';
import { FRAME_BLOCK_BYTES_MAX } from '../format/changeset.js';
import { CHANGESET_HEADER_BYTES, CHANGESET_TRAILER_BYTES } from '../format/changeset-file.js';
import { INDEX_ENTRY_BYTES } from '../format/changeset-index.js';
import { FRAME_HEADER_BYTES, RECORD_BYTES } from '../format/frame-header.js';
import type { PointRef } from '../lineage/lineage.js';

/** Name of the undo that leads back to `point`. */
export const undoName = (point: PointRef): string => `undo-${hex(point.id)}`;
const roomName = (point: PointRef): string => `room-${hex(point.id)}.part`;

export class UndoRoom {
  readonly #files: Files;
  readonly #handle: FileHandle;

  private constructor(files: Files, handle: FileHandle) {
    this.#files = files;
    this.#handle = handle;
  }

  /** Reserves `bytes` for the undo back to `from`; errors of the file system, and then no file. */
  static async reserve(
    files: Files,
    directory: string,
    from: PointRef,
    bytes: number,
  ): Promise<UndoRoom> {
    const room = new UndoRoom(
      files,
      await files.open(`${directory}/${roomName(from)}`, 'truncate'),
    );
    try {
      await room.#handle.reserve(bytes);
      return room;
    } catch (error) {
      await room.drop();
      throw error;
    }
  }

  /** For the apply, which is to come: at least `bytes`, durable but for the name. */
  async keep(bytes: number): Promise<void> {
    await this.#handle.reserve(bytes);
    await this.#handle.sync();
    await this.#handle.close();
  }

  /** The round will not be committed. What cannot be removed now, the next start removes, or a
   * round from the same point takes. */
  async drop(): Promise<void> {
    await this.#handle.close();
    await this.#files.remove(this.#handle.path).catch(() => undefined);
  }
}

/** The file that the undo back to `from` is written to, from its beginning: what is reserved for
 * it, or a new one. What was in it counts for nothing. */
export async function openUndoRoom(
  files: Files,
  directory: string,
  from: PointRef,
): Promise<FileHandle> {
  const room = `${directory}/${roomName(from)}`;
  const path = `${directory}/${undoName(from)}.part`;
  if (await files.exists(room)) await files.rename(room, path);
  return files.open(path, (await files.exists(path)) ? 'write' : 'truncate');
}

/** Most bytes of the undo of a changeset with so many frames, entries, and blocks in their masks:
 * what zeroes replace takes room too. */
export function undoBytesMax(frames: number, entries: number, blocks: number): number {
  const blockBytes = blocks * BLOCK_BYTES;
  // writeUndo ends a frame when another whole chunk may not fit, and with each frame it reads.
  const undoFrames = frames + Math.ceil(blockBytes / (FRAME_BLOCK_BYTES_MAX - CHUNK_BYTES));
  const ends = CHANGESET_HEADER_BYTES + CHANGESET_TRAILER_BYTES;
  return (
    blockBytes +
    entries * (RECORD_BYTES + INDEX_ENTRY_BYTES) +
    undoFrames * FRAME_HEADER_BYTES +
    ends
  );
}
