// Receiver step 2: frames of a round, appended to a staged changeset and made durable as they come.
// A sync begins whenever something is unsynced and none is running, so the acknowledged watermark
// is what is on disk and never further behind than one sync. Steps 3 and 4 end it. Of the space
// that a round asks for half is reserved in its own file and half in that of its undo, which the
// commit leaves to the apply (history/undo-room.ts); any other end gives both back (H29).
import { assert, present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import type { FileHandle, Files } from '../base/files.js';
import { hex } from '../base/random.js';
import { bitCount } from '../base/units.js';
import type { ChangesetHeader, ChangesetTotals, Consistency, Frame } from '../format/changeset.js';
import { CHANGESET_HEADER_BYTES } from '../format/changeset-file.js';
import { scanFrames } from '../format/changeset-reader.js';
import { ChangesetWriter } from '../format/changeset-writer.js';
import { decodeFrame } from '../format/frame.js';
import { unpack } from '../format/pack.js';
import { UndoRoom, undoBytesMax } from '../history/undo-room.js';
import type { Begin } from '../target/target.js';

export const stageName = (round: Uint8Array): string => `stage-${hex(round)}`;
export const committedName = (round: Uint8Array): string => `committed-${hex(round)}`;

/** The round of a committed file's name; null: a file of that beginning that is none of ours. */
export function committedRound(name: string): Uint8Array | null {
  const [, digits] = /^committed-([0-9a-f]{32})$/.exec(name) ?? [];
  return digits === undefined ? null : new Uint8Array(Buffer.from(digits, 'hex'));
}

/** Told of the watermark's growth, or of the error that ended it. */
export interface StageWatch {
  durable(frames: number): void;
  failed(error: unknown): void;
}

export class Stage {
  readonly header: ChangesetHeader;
  readonly #files: Files;
  readonly #directory: string;
  readonly #handle: FileHandle;
  readonly #writer: ChangesetWriter;
  readonly #room: UndoRoom;
  #entries = 0;
  #blocks = 0;
  #watch: StageWatch;
  #written = 0;
  #synced = 0;
  #syncing: Promise<void> | null = null;
  #failure: { error: unknown } | null = null;
  #closed = false;
  #undecided = false;

  private constructor(
    files: Files,
    directory: string,
    handle: FileHandle,
    writer: ChangesetWriter,
    room: UndoRoom,
    watch: StageWatch,
  ) {
    this.#watch = watch;
    this.#room = room;
    this.#files = files;
    this.#directory = directory;
    this.#handle = handle;
    this.#writer = writer;
    this.header = writer.header;
  }

  /** A new staged file for an admitted round, with the space it asked for reserved (H29); errors of
   * the file system, which then has no file of it. */
  static async create(
    files: Files,
    directory: string,
    begin: Begin,
    watch: StageWatch,
  ): Promise<Stage> {
    const { resource, round, to, sizeBytes, spaceBytes } = begin;
    const from = present(begin.from, 'a first copy is not staged');
    const path = `${directory}/${stageName(round)}`;
    const handle = await files.open(path, 'truncate');
    let room: UndoRoom | null = null;
    try {
      const undoBytes = Math.floor(spaceBytes / 2);
      room = await UndoRoom.reserve(files, directory, from, undoBytes);
      await handle.reserve(spaceBytes - undoBytes);
      const facts = { kind: 'round', resource, round, from, to, sizeBytes } as const;
      const writer = await ChangesetWriter.create(handle, { ...facts, consistency: 'crash' });
      return new Stage(files, directory, handle, writer, room, watch);
    } catch (error) {
      await room?.drop();
      await handle.close();
      await files.remove(path);
      throw error;
    }
  }

  /** Frames handed over so far; the next one must have this number. */
  get frames(): number {
    return this.#writer.frames;
  }

  /** Appends a frame whose decoded form is `frame`. */
  async append(bytes: Uint8Array, frame: Frame): Promise<void> {
    this.#throwFailure();
    this.#entries += frame.entries.length;
    for (const { mask } of frame.entries) this.#blocks += bitCount(mask);
    await this.#writer.append(bytes, frame.entries);
    this.#written = frame.number + 1;
    this.#syncing ??= this.#syncAll();
  }

  /** The session that goes on with the round is told from now on. */
  watchBy(watch: StageWatch): void {
    this.#watch = watch;
  }

  /** What ended the watermark; null while it can grow. */
  get failure(): { readonly error: unknown } | null {
    return this.#failure;
  }

  /** The rename of step 4 began and is not known to be durable: nobody can tell. */
  get undecided(): boolean {
    return this.#undecided;
  }

  /** Frames 0..durable-1 are on disk: the acknowledged watermark. */
  get durable(): number {
    return this.#synced;
  }

  /** Makes everything appended so far durable. */
  async allDurable(): Promise<void> {
    await this.#syncing;
    this.#throwFailure();
    if (this.#synced < this.#written) await this.#syncAll();
    this.#throwFailure();
  }

  /** Decoded frames from number `from` on, read back. */
  async *framesFrom(from: number): AsyncGenerator<Frame> {
    const { path } = this.#handle;
    const { sizeBytes } = this.header;
    const end = this.#writer.endOffset;
    for await (const stored of scanFrames(this.#handle, CHANGESET_HEADER_BYTES, end)) {
      if (stored.header.number < from) continue;
      yield decodeFrame(stored.bytes, path, unpack, sizeBytes);
    }
  }

  /** Step 4: index, trailer, fdatasync, rename, directory. After it the round is irrevocable.
   * Null when the totals are not what the sender says: nothing has been renamed then. */
  async commit(
    frames: number,
    indexDigest: Uint8Array,
    consistency: Consistency,
  ): Promise<ChangesetTotals | null> {
    assert(!this.#closed, 'a stage is committed once');
    this.#throwFailure();
    // More than was reserved where chunks came that had changed behind our back (H28).
    await this.#room.keep(undoBytesMax(this.#writer.frames, this.#entries, this.#blocks));
    const totals = await this.#writer.finish(consistency);
    if (totals.frames !== frames || !equalBytes(totals.indexDigest, indexDigest)) return null;
    await this.#handle.truncate(await this.#handle.size());
    await this.#handle.sync();
    await this.#handle.close();
    const { round } = this.header;
    const from = `${this.#directory}/${stageName(round)}`;
    this.#undecided = true;
    await this.#files.rename(from, `${this.#directory}/${committedName(round)}`);
    await this.#files.syncDirectory(this.#directory);
    this.#undecided = false;
    this.#closed = true;
    return totals;
  }

  /** Forgets a round that will not be committed and of which nothing can be taken over. */
  async drop(): Promise<void> {
    if (!(await this.#end())) return;
    await this.#files.remove(`${this.#directory}/${stageName(this.header.round)}`);
  }

  /** Ends a round that will not be committed; its file stays, for a later round to take its chunks
   * over (H31), and gives back the space that it did not use. */
  async setAside(): Promise<void> {
    if (this.#closed || this.#undecided) return;
    await this.#syncing;
    if (!this.#closed) await this.#handle.truncate(this.#writer.endOffset).catch(() => undefined);
    await this.#end();
  }

  async #end(): Promise<boolean> {
    if (this.#closed || this.#undecided) return false;
    this.#closed = true;
    await this.#syncing;
    await this.#handle.close();
    await this.#room.drop();
    return true;
  }

  async #syncAll(): Promise<void> {
    try {
      while (this.#synced < this.#written && !this.#closed) {
        const written = this.#written;
        await this.#handle.sync();
        this.#synced = written;
        this.#watch.durable(written);
      }
    } catch (error) {
      this.#failure = { error };
      this.#watch.failed(error);
    } finally {
      this.#syncing = null;
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
