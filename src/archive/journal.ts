// The journal of an archive's sender (format/archive-journal.ts). Guarantees: a pack is in it,
// durably and with all pieces that stand in it, before its PUT begins; what is loaded after a crash
// are whole rows, in the order in which they were added; memory does not grow with them. One owner.

import { dirname } from 'node:path';
import { assert } from '../base/assert.js';
import type { FileHandle, Files } from '../base/files.js';
import { publish } from '../base/publish.js';
import { hex } from '../base/random.js';
import {
  encodeJournalHeader,
  type GarbagePack,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  type JournalHeader,
  type JournalRow,
  type Lane,
  putJournalRow,
  takeJournalRow,
} from '../format/archive-journal.js';
import type { PackName } from '../format/archive-node.js';
import { sameId } from '../lineage/lineage.js';
import { BUFFER_ROWS, loaded, RowsOut } from './journal-file.js';

/** Rounds that are remembered; late answers are not later than that. */
const ATTEMPTS_MAX = 16;
/** Runs above which a journal is written anew when a round begins. */
const RUNS_MAX = 4;

export type PieceRow = JournalRow & { readonly kind: 'piece' };

export interface NumberedPack extends PackName {
  readonly number: number;
}

export class Journal {
  readonly path: string;
  readonly #files: Files;
  #header: JournalHeader;
  #handle: FileHandle;
  readonly #buffer = new Uint8Array(BUFFER_ROWS * JOURNAL_ROW_BYTES);
  #buffered = 0;
  /** Bytes of whole rows in the file. */
  #written: number;
  /** Where each run of pieces begins. */
  #runs: number[] = [];
  /** Chunk of the last piece, by lane; a run has begun when there is any. */
  #last: [number, number] | null = null;
  /** Packs that no point needs, nor will, by name. */
  readonly #garbage = new Map<string, GarbagePack>();
  /** Highest number of a pack that was begun, also of one that was never closed: numbers are not
   * used twice. */
  #highest = -1;
  /** Writes to the file, one after the other: a sync covers what was flushed before it. */
  #tail: Promise<void> = Promise.resolve();
  /** Rounds whose points may have been put, newest last. */
  #attempts: Uint8Array[] = [];
  /** Packs of the present round, and whether they are durable. */
  readonly #packs = new Map<number, { readonly pack: NumberedPack; put: boolean }>();

  private constructor(files: Files, path: string, handle: FileHandle, header: JournalHeader) {
    this.#files = files;
    this.path = path;
    this.#handle = handle;
    this.#header = header;
    this.#written = JOURNAL_HEADER_BYTES;
  }

  /** Opens the journal at `path`, or makes it. One of another resource or archive, or that is not
   * whole from its first byte on, begins anew; `lost` says so. */
  static async open(
    files: Files,
    path: string,
    wanted: JournalHeader,
  ): Promise<{ readonly journal: Journal; readonly lost: boolean }> {
    const found = await loaded(files, path, wanted);
    if (found === 'none' || found === 'lost') {
      await publish(files, path, encodeJournalHeader(wanted));
      const journal = new Journal(files, path, await files.open(path, 'write'), wanted);
      return { journal, lost: found === 'lost' };
    }
    const journal = new Journal(files, path, found.handle, found.header);
    for await (const { row, end } of journal.#rows(JOURNAL_HEADER_BYTES)) {
      journal.#note(row, end);
      journal.#written = end;
    }
    // What is behind the first row that is not whole was never synced, and must not be read behind
    // what is written next.
    await journal.#handle.truncate(journal.#written);
    return { journal, lost: false };
  }

  /** The point that its pieces go on from. */
  get from(): Uint8Array | null {
    return this.#header.from;
  }

  /** Packs that nobody needs: a prune may remove them, and tells `forget`. */
  get garbage(): readonly GarbagePack[] {
    return [...this.#garbage.values()];
  }

  /** Highest number of a pack that was ever begun here, plus one; 0: none. */
  get nextPack(): number {
    return this.#highest + 1;
  }

  /** Packs of the present round, and of those that it may take over from. */
  get packNumbers(): readonly number[] {
    return [...this.#packs.keys()];
  }

  isPut(pack: number): boolean {
    return this.#packs.get(pack)?.put === true;
  }

  packOf(pack: number): NumberedPack | null {
    return this.#packs.get(pack)?.pack ?? null;
  }

  /** Number of the run that the next piece begins. */
  newRun(): number {
    this.#last = null;
    return this.#runs.length;
  }

  /** Begins a run where the chunk does not ascend in its lane. */
  async piece(row: PieceRow): Promise<void> {
    if (this.#last === null || row.chunk <= this.#last[row.lane]) {
      await this.#add({ kind: 'run' });
      this.#runs.push(this.#written + this.#buffered * JOURNAL_ROW_BYTES);
      this.#last = [-1, -1];
    }
    this.#last[row.lane] = row.chunk;
    this.#highest = Math.max(this.#highest, row.piece.place?.pack ?? -1);
    await this.#add(row);
  }

  /** Durable when it resolves, with everything before it. */
  async pack({ number, name, bytes }: NumberedPack): Promise<void> {
    await this.#add({ kind: 'pack', number, name, bytes });
    await this.#flush();
    await this.#handle.sync();
    this.#packs.set(number, { pack: { number, name, bytes }, put: false });
    this.#highest = Math.max(this.#highest, number);
  }

  /** The point of a round is about to be put; durable when it resolves. */
  async attempt(round: Uint8Array): Promise<void> {
    await this.#add({ kind: 'attempt', round });
    await this.#flush();
    await this.#handle.sync();
    this.#noteAttempt(round);
  }

  /** The point of this round was put here once, or may have been. */
  attempted(round: Uint8Array): boolean {
    return this.#attempts.some((one) => sameId(one, round));
  }

  /** The archive that its packs are in; what is of another one counts for nothing here. */
  async bind(archive: Uint8Array): Promise<void> {
    if (sameId(this.#header.archive, archive)) return;
    this.#garbage.clear();
    await this.#anew({ ...this.#header, from: null, archive });
  }

  async put(number: number): Promise<void> {
    const found = this.#packs.get(number);
    assert(found !== undefined, 'a pack is journalled before it is put');
    found.put = true;
    await this.#add({ kind: 'put', number });
  }

  get runs(): number {
    return this.#runs.length;
  }

  /** Pieces of one lane of a run, ascending, that stand nowhere or in packs that `usable` says. */
  async *run(run: number, lane: Lane, usable: (pack: number) => boolean): AsyncGenerator<PieceRow> {
    await this.#flush();
    const from = this.#runs[run] ?? this.#written;
    const end = this.#runs[run + 1] ?? Number.POSITIVE_INFINITY;
    for await (const { row, end: rowEnd } of this.#rows(from)) {
      if (rowEnd >= end) return;
      if (row.kind !== 'piece' || row.lane !== lane) continue;
      if (row.piece.place === null || usable(row.piece.place.pack)) yield row;
    }
  }

  /** Its runs are so many that they should be one: of rounds that failed, each of which notes again
   * what it takes over. Those of a first copy belong together as they are. */
  get isLong(): boolean {
    return this.#runs.length > RUNS_MAX && this.#header.from !== null;
  }

  /** Writes anew what is held: `newest` pieces of all runs, ascending. */
  async compact(
    newest: AsyncIterable<Pick<PieceRow, 'chunk' | 'digest' | 'piece'>>,
  ): Promise<void> {
    await this.#flush();
    const path = `${this.path}.new`;
    const file = await this.#files.open(path, 'truncate');
    try {
      const out = new RowsOut(file, encodeJournalHeader(this.#header));
      for (const pack of this.#garbage.values()) await out.add({ ...pack, kind: 'garbage' });
      for (const round of this.#attempts) await out.add({ kind: 'attempt', round });
      for (const { pack, put } of this.#packs.values()) {
        await out.add({ kind: 'pack', ...pack });
        if (put) await out.add({ kind: 'put', number: pack.number });
      }
      await out.add({ kind: 'run' });
      const run = out.written;
      for await (const { chunk, digest, piece } of newest) {
        await out.add({ kind: 'piece', lane: 0, chunk, digest, piece });
      }
      await out.end();
      await this.#files.rename(path, this.path);
      await this.#files.syncDirectory(dirname(this.path));
      await this.#handle.close();
      this.#handle = await this.#files.open(this.path, 'write');
      [this.#runs, this.#last, this.#written] = [[run], null, out.written];
    } finally {
      await file.close();
    }
  }

  /** A point refers to what it needs of the packs here: `needed`. What is left is garbage, and
   * further pieces go on from `from`. */
  async committed(from: Uint8Array, needed: ReadonlySet<number>): Promise<void> {
    for (const [number, { pack }] of this.#packs) {
      if (!needed.has(number)) this.#discard(pack);
    }
    await this.#anew({ ...this.#header, from });
  }

  /** Nothing of the pieces here can be used any more. */
  async dropped(from: Uint8Array | null): Promise<void> {
    for (const { pack } of this.#packs.values()) this.#discard(pack);
    await this.#anew({ ...this.#header, from });
  }

  /** No point needs these any more; durable when it resolves. */
  async addGarbage(packs: readonly GarbagePack[]): Promise<void> {
    for (const pack of packs) {
      await this.#add({ kind: 'garbage', ...pack });
      this.#garbage.set(hex(pack.name), pack);
    }
    await this.#flush();
    await this.#handle.sync();
  }

  /** These are removed from the store. Found again after a crash, they are removed again. */
  async forget(packs: readonly GarbagePack[]): Promise<void> {
    for (const { name } of packs) this.#garbage.delete(hex(name));
    if (this.#packs.size === 0) await this.#anew(this.#header);
  }

  async close(): Promise<void> {
    await this.#flush();
    await this.#handle.close();
  }

  async #anew(header: JournalHeader): Promise<void> {
    const garbage = [...this.#garbage.values()];
    const rows = garbage.length + this.#attempts.length;
    const bytes = new Uint8Array(JOURNAL_HEADER_BYTES + rows * JOURNAL_ROW_BYTES);
    bytes.set(encodeJournalHeader(header));
    const kept: JournalRow[] = [
      ...garbage.map((pack) => ({ ...pack, kind: 'garbage' as const })),
      ...this.#attempts.map((round) => ({ kind: 'attempt' as const, round })),
    ];
    for (const [i, row] of kept.entries()) {
      putJournalRow(bytes, JOURNAL_HEADER_BYTES + i * JOURNAL_ROW_BYTES, row);
    }
    await this.#tail;
    await publish(this.#files, this.path, bytes);
    await this.#handle.close();
    this.#handle = await this.#files.open(this.path, 'write');
    this.#header = header;
    this.#packs.clear();
    this.#runs = [];
    this.#last = null;
    this.#buffered = 0;
    this.#written = bytes.length;
  }

  #note(row: JournalRow, end: number): void {
    if (row.kind === 'run') this.#runs.push(end);
    else if (row.kind === 'piece') {
      this.#highest = Math.max(this.#highest, row.piece.place?.pack ?? -1);
    } else if (row.kind === 'attempt') this.#noteAttempt(row.round);
    else if (row.kind === 'garbage') {
      const { number, name, bytes, keepUntilHour } = row;
      this.#garbage.set(hex(name), { number, name, bytes, keepUntilHour });
      // Those of points that were pruned have none.
      this.#highest = Math.max(this.#highest, row.number);
    } else if (row.kind === 'pack') {
      const { number, name, bytes } = row;
      this.#packs.set(number, { pack: { number, name, bytes }, put: false });
      this.#highest = Math.max(this.#highest, number);
    } else if (row.kind === 'put') {
      const found = this.#packs.get(row.number);
      if (found !== undefined) found.put = true;
    }
  }

  #discard(pack: NumberedPack): void {
    this.#garbage.set(hex(pack.name), { ...pack, keepUntilHour: 0 });
  }

  async #add(row: JournalRow): Promise<void> {
    if (this.#buffered === BUFFER_ROWS) await this.#flush();
    putJournalRow(this.#buffer, this.#buffered * JOURNAL_ROW_BYTES, row);
    this.#buffered += 1;
  }

  async #flush(): Promise<void> {
    const bytes = this.#buffer.slice(0, this.#buffered * JOURNAL_ROW_BYTES);
    if (bytes.length === 0) return this.#tail;
    const at = this.#written;
    this.#written += bytes.length;
    this.#buffered = 0;
    const handle = this.#handle;
    const writing = this.#tail.then(() => handle.write(bytes, at));
    this.#tail = writing.catch(() => undefined);
    await writing;
  }

  #noteAttempt(round: Uint8Array): void {
    this.#attempts = [...this.#attempts, round].slice(-ATTEMPTS_MAX);
  }

  /** Whole rows from `from` on, and where each ends; the first that is not whole ends them. */
  async *#rows(from: number): AsyncGenerator<{ readonly row: JournalRow; readonly end: number }> {
    const memory = new Uint8Array(BUFFER_ROWS * JOURNAL_ROW_BYTES);
    for (let at = from; ; at += memory.length) {
      const got = await this.#handle.read(memory, at);
      for (let i = 0; i + JOURNAL_ROW_BYTES <= got; i += JOURNAL_ROW_BYTES) {
        const row = takeJournalRow(memory, i);
        if (row === null) return;
        yield { row, end: at + i + JOURNAL_ROW_BYTES };
      }
      if (got < memory.length) return;
    }
  }
}
