// The journal of an archive's sender (format/archive-journal.ts). Guarantees: a pack is in it,
// durably and with all pieces that stand in it, before its PUT begins; what is loaded after a crash
// are whole rows, in the order in which they were added; memory does not grow with them. One owner.
import { assert } from '../base/assert.js';
import { isZero } from '../base/digest.js';
import type { FileHandle, Files } from '../base/files.js';
import { publish } from '../base/publish.js';
import { hex } from '../base/random.js';
import {
  decodeJournalHeader,
  encodeJournalHeader,
  type GarbagePack,
  JOURNAL_HEADER_BYTES,
  JOURNAL_ROW_BYTES,
  type JournalHeader,
  type JournalRow,
  type Lane,
  putJournalRow,
} from '../format/archive-journal.js';
import type { PackName } from '../format/archive-node.js';
import { sameId } from '../lineage/lineage.js';
import { JournalFile } from './journal-file.js';

export type PieceRow = JournalRow & { readonly kind: 'piece' };

export interface NumberedPack extends PackName {
  readonly number: number;
}

export class Journal {
  readonly #file: JournalFile;
  #header: JournalHeader;
  /** Where each run of pieces begins. */
  #runs: number[] = [];
  /** Chunk of the last piece, by lane; a run has begun when there is any. */
  #last: [number, number] | null = null;
  /** Packs that no point needs, nor will, by name. */
  readonly #garbage = new Map<string, GarbagePack>();
  /** Highest number of a pack that was begun, also of one that was never ended: pieces may say that
   * they stand in it. Numbers are not used twice. */
  #highest = -1;
  /** Packs of the present round, and whether they are durable. */
  readonly #packs = new Map<number, { readonly pack: NumberedPack; put: boolean }>();

  private constructor(file: JournalFile, header: JournalHeader) {
    this.#file = file;
    this.#header = header;
  }

  /** Opens the journal at `path`, or makes it. One of another resource, or that is not whole from
   * its first byte on, begins anew; `lost` says so. */
  static async open(
    files: Files,
    path: string,
    wanted: JournalHeader,
  ): Promise<{ readonly journal: Journal; readonly lost: boolean }> {
    const found = await loaded(files, path, wanted.resource);
    if (found === 'none' || found === 'lost') {
      await publish(files, path, encodeJournalHeader(wanted));
      const file = new JournalFile(files, path, await files.open(path, 'write'));
      return { journal: new Journal(file, wanted), lost: found === 'lost' };
    }
    const file = new JournalFile(files, path, found.handle);
    const journal = new Journal(file, found.header);
    for await (const { row, end } of file.load()) journal.#note(row, end);
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
    return Math.max(this.#highest, ...this.#packs.keys()) + 1;
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
      await this.#file.add({ kind: 'run' });
      this.#runs.push(this.#file.end);
      this.#last = [-1, -1];
    }
    this.#last[row.lane] = row.chunk;
    this.#highest = Math.max(this.#highest, row.piece.place?.pack ?? -1);
    await this.#file.add(row);
  }

  /** Durable when it resolves, with everything before it. */
  async pack({ number, name, bytes }: NumberedPack): Promise<void> {
    await this.#file.add({ kind: 'pack', number, name, bytes });
    await this.#file.sync();
    this.#packs.set(number, { pack: { number, name, bytes }, put: false });
  }

  async put(number: number): Promise<void> {
    const found = this.#packs.get(number);
    assert(found !== undefined, 'a pack is journalled before it is put');
    found.put = true;
    await this.#file.add({ kind: 'put', number });
  }

  get runs(): number {
    return this.#runs.length;
  }

  /** Pieces of one lane of a run, ascending, that stand nowhere or in packs that `usable` says. */
  async *run(run: number, lane: Lane, usable: (pack: number) => boolean): AsyncGenerator<PieceRow> {
    const from = this.#runs[run] ?? this.#file.end;
    const end = this.#runs[run + 1] ?? Number.POSITIVE_INFINITY;
    for await (const { row, end: rowEnd } of this.#file.rows(from)) {
      if (rowEnd >= end) return;
      if (row.kind !== 'piece' || row.lane !== lane) continue;
      if (row.piece.place === null || usable(row.piece.place.pack)) yield row;
    }
  }

  /** A point refers to what it needs of the packs here: `needed`. What is left is garbage, and
   * further pieces go on from `from`. */
  async committed(from: Uint8Array, needed: ReadonlySet<number>): Promise<void> {
    for (const [number, { pack }] of this.#packs) {
      if (!needed.has(number)) this.#discard(pack);
    }
    await this.#anew(from);
  }

  /** Nothing of the pieces here can be used any more. */
  async dropped(from: Uint8Array | null): Promise<void> {
    for (const { pack } of this.#packs.values()) this.#discard(pack);
    await this.#anew(from);
  }

  /** No point needs these any more; durable when it resolves. */
  async addGarbage(packs: readonly GarbagePack[]): Promise<void> {
    for (const pack of packs) {
      await this.#file.add({ ...pack, kind: 'garbage' });
      this.#garbage.set(hex(pack.name), pack);
    }
    await this.#file.sync();
  }

  /** These are removed from the store. Found again after a crash, they are removed again. A round
   * may run meanwhile: its pieces stay, and so does the file. */
  async forget(packs: readonly GarbagePack[]): Promise<void> {
    for (const { name } of packs) this.#garbage.delete(hex(name));
    if (this.#packs.size === 0 && this.#runs.length === 0) await this.#anew(this.#header.from);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #anew(from: Uint8Array | null): Promise<void> {
    this.#highest = Math.max(this.#highest, ...this.#packs.keys());
    const garbage = [...this.#garbage.values()];
    const bytes = new Uint8Array(JOURNAL_HEADER_BYTES + garbage.length * JOURNAL_ROW_BYTES);
    const header = { ...this.#header, from };
    bytes.set(encodeJournalHeader(header));
    garbage.forEach((pack, i) => {
      const at = JOURNAL_HEADER_BYTES + i * JOURNAL_ROW_BYTES;
      putJournalRow(bytes, at, { ...pack, kind: 'garbage' });
    });
    await this.#file.replace(bytes);
    this.#header = header;
    this.#packs.clear();
    this.#runs = [];
    this.#last = null;
  }

  #note(row: JournalRow, end: number): void {
    if (row.kind === 'run') this.#runs.push(end);
    else if (row.kind === 'piece') {
      this.#highest = Math.max(this.#highest, row.piece.place?.pack ?? -1);
    } else if (row.kind === 'garbage') {
      this.#garbage.set(hex(row.name), row);
      // Those of points that were pruned have none.
      this.#highest = Math.max(this.#highest, row.number);
    } else if (row.kind === 'pack') this.#packs.set(row.number, { pack: row, put: false });
    else if (row.kind === 'put') {
      const found = this.#packs.get(row.number);
      if (found !== undefined) found.put = true;
    }
  }

  #discard(pack: NumberedPack): void {
    this.#garbage.set(hex(pack.name), { ...pack, keepUntilHour: 0 });
  }
}

async function loaded(
  files: Files,
  path: string,
  resource: Uint8Array,
): Promise<'none' | 'lost' | { readonly handle: FileHandle; readonly header: JournalHeader }> {
  if (!(await files.exists(path))) return 'none';
  const handle = await files.open(path, 'write');
  const bytes = new Uint8Array(JOURNAL_HEADER_BYTES);
  try {
    await handle.read(bytes, 0);
  } catch (error) {
    await handle.close();
    throw error; // what cannot be read now is not lost
  }
  try {
    const header = decodeJournalHeader(bytes, path);
    if (sameId(header.resource, resource)) return { handle, header };
  } catch {
    // Not whole: as one of another resource.
  }
  await handle.close();
  return isZero(bytes) ? 'none' : 'lost';
}
