// What is remembered of looks at the packs of one archive: when the content of each was looked at
// last, and what is wrong with it. Kept in a file that is replaced as a whole (archive-looks.ts).
// Guarantee: a pack that was never looked at is never taken for one that was; what cannot be read
// is forgotten, which costs reading and nothing else. Memory: some 200 bytes for each pack.
import { codeOf, errorClass } from '../base/errors.js';
import { type Files, FilesError } from '../base/files.js';
import { publish } from '../base/publish.js';
import { hex } from '../base/random.js';
import {
  decodeLooks,
  encodeLooks,
  LOOKS_BYTES_MAX,
  LOOKS_MAGIC,
  LOOKS_MAX,
  type LookPass,
  type PackFault,
  type PackLook,
} from '../format/archive-looks.js';
import type { PackName } from '../format/archive-node.js';
import { sameId } from '../lineage/lineage.js';

const DAY_MS = 24 * 3_600_000;
const NO_PASS: LookPass = { begunMs: 0, spentBytes: 0, ended: true, badTables: 0 };

export type LooksFault = { code: 'MEMORY_OTHER'; path: string; why: string };

export const LooksError = errorClass<LooksFault>('LooksError', {
  MEMORY_OTHER: (f) =>
    `${f.path} is ${f.why}, and is left as it is; name another file, or remove it`,
});

/** How much was looked at lately. Bytes are those of packs that kept points need. */
export interface LooksSummary {
  readonly packs: number;
  readonly bytes: number;
  readonly in30DaysBytes: number;
  readonly in90DaysBytes: number;
  readonly neverBytes: number;
  /** The longest ago of those that were looked at; null: none was. */
  readonly oldestMs: number | null;
  /** Packs that are damaged or missing, and tables of packs that cannot be read. */
  readonly damaged: number;
}

export class Looks {
  readonly path: string;
  readonly #files: Files;
  readonly #rows = new Map<string, PackLook>();
  /** Null: of none yet. */
  #archive: Uint8Array | null = null;
  pass: LookPass = NO_PASS;

  private constructor(files: Files, path: string) {
    this.#files = files;
    this.path = path;
  }

  /** `fault`: why what is in the file is forgotten; null: it is not, or there is no file. Errors
   * MEMORY_OTHER when the file is something else, FORMAT_VERSION, FILE_FAILED. */
  static async open(
    files: Files,
    path: string,
  ): Promise<{ readonly looks: Looks; readonly fault: string | null }> {
    const looks = new Looks(files, path);
    let bytes: Uint8Array | null;
    try {
      bytes = await files.readWhole(path, LOOKS_BYTES_MAX);
    } catch (error) {
      if (!(error instanceof FilesError && error.fault.code === 'FILE_TOO_LARGE')) throw error;
      throw new LooksError({ code: 'MEMORY_OTHER', path, why: 'no memory of verify' });
    }
    if (bytes === null || bytes.length === 0) return { looks, fault: null };
    // All but the version: of a later one it says that itself.
    const magic = Buffer.from(LOOKS_MAGIC.slice(0, -1));
    if (Buffer.compare(bytes.subarray(0, magic.length), magic) !== 0) {
      throw new LooksError({ code: 'MEMORY_OTHER', path, why: 'no memory of verify' });
    }
    try {
      const { archive, pass, rows } = decodeLooks(bytes, path);
      looks.#archive = archive;
      looks.pass = pass;
      for (const row of rows) looks.#rows.set(hex(row.name), row);
      return { looks, fault: null };
    } catch (error) {
      if (!(error instanceof Error) || codeOf(error) !== 'FORMAT_BAD') throw error;
      return { looks, fault: error.message };
    }
  }

  /** Of that archive from now on; false: it was of another one, which is forgotten. */
  bind(archive: Uint8Array): boolean {
    const isOurs = this.#archive === null || sameId(this.#archive, archive);
    if (!isOurs) {
      this.#rows.clear();
      this.pass = NO_PASS;
    }
    this.#archive = archive;
    return isOurs;
  }

  /** These are packs that kept points need. `areAll`: of others nothing is remembered. */
  need(packs: ReadonlyMap<string, PackName>, areAll: boolean): void {
    for (const name of this.#rows.keys()) if (areAll && !packs.has(name)) this.#rows.delete(name);
    for (const [key, { name, bytes }] of packs) {
      const known = this.#rows.get(key);
      if (known?.bytes !== bytes) this.#rows.set(key, { name, bytes, lookedMs: 0, fault: null });
    }
  }

  /** Of a pack that is needed. `lookedMs` null: its content was not looked at now. */
  note(name: string, fault: PackFault | null, lookedMs: number | null): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.#rows.set(name, { ...row, fault, lookedMs: lookedMs ?? row.lookedMs });
  }

  forget(name: string): void {
    this.#rows.delete(name);
  }

  /** By name in hex. */
  get rows(): ReadonlyMap<string, PackLook> {
    return this.#rows;
  }

  summary(nowMs: number): LooksSummary {
    const sum = { bytes: 0, in30DaysBytes: 0, in90DaysBytes: 0, neverBytes: 0 };
    let oldestMs: number | null = null;
    let damaged = this.pass.badTables;
    for (const { bytes, lookedMs, fault } of this.#rows.values()) {
      sum.bytes += bytes;
      if (fault !== null) damaged += 1;
      if (lookedMs === 0) {
        sum.neverBytes += bytes;
        continue;
      }
      oldestMs = Math.min(oldestMs ?? lookedMs, lookedMs);
      if (nowMs - lookedMs <= 30 * DAY_MS) sum.in30DaysBytes += bytes;
      if (nowMs - lookedMs <= 90 * DAY_MS) sum.in90DaysBytes += bytes;
    }
    return { packs: this.#rows.size, ...sum, oldestMs, damaged };
  }

  /** Durable when it resolves. */
  async save(): Promise<void> {
    if (this.#archive === null) return;
    const newest = [...this.#rows.values()];
    if (newest.length > LOOKS_MAX) newest.sort((one, other) => other.lookedMs - one.lookedMs);
    const rows = newest.slice(0, LOOKS_MAX).sort((a, b) => Buffer.compare(a.name, b.name));
    const bytes = encodeLooks({ archive: this.#archive, pass: this.pass, rows });
    await publish(this.#files, this.path, bytes);
  }
}
