// The rounds of a resource, newest last, kept over restarts as JSON lines: for `hastctl rounds`.
// Display only: nothing is decided by it, so lines are not synced and a damaged one is left out:
// one that is no record, field by field. A digit that has rotted is another digit.
// The file is bounded: when it has twice the records that are kept it is published anew with those.
// A file that is too large, or cannot be read, is not emptied when it is opened.
import type { FileHandle, Files } from '../base/files.js';
import { publish } from '../base/publish.js';
import { Mutex } from '../base/sync.js';
import { MIB } from '../base/units.js';
import { isRoundRecord } from '../control/answers.js';
import type { RoundRecord } from '../control/api.js';

export const ROUNDS_KEPT_MAX = 1000;
/** Of a file that is larger the end is read. */
const READ_BYTES_MAX = 16 * MIB;

export class RoundLog {
  readonly #files: Files;
  readonly #path: string;
  readonly #records: RoundRecord[];
  /** Of changes of the file: rounds of several targets may end at once. */
  readonly #order = new Mutex();
  #handle: FileHandle;
  #bytes: number;
  /** Records in the file, at most. */
  #written: number;
  /** The last line was cut off by a crash. */
  #torn: boolean;

  private constructor(files: Files, path: string, handle: FileHandle, found: Found) {
    this.#files = files;
    this.#path = path;
    this.#handle = handle;
    this.#records = found.records.slice(-ROUNDS_KEPT_MAX);
    this.#bytes = found.bytes;
    this.#torn = found.torn;
    this.#written = found.bytes > READ_BYTES_MAX ? 2 * ROUNDS_KEPT_MAX : found.records.length;
  }

  static async open(files: Files, path: string): Promise<RoundLog> {
    const mode = (await files.exists(path)) ? 'write' : 'truncate';
    const handle = await files.open(path, mode);
    return new RoundLog(files, path, handle, await findRecords(files, path));
  }

  get records(): readonly RoundRecord[] {
    return this.#records;
  }

  add(record: RoundRecord): Promise<void> {
    return this.#order.run(async () => {
      this.#records.push(record);
      if (this.#records.length > ROUNDS_KEPT_MAX) this.#records.shift();
      if (this.#written >= 2 * ROUNDS_KEPT_MAX) return this.#shorten();
      const line = linesOf([record], this.#torn ? '\n' : '');
      await this.#handle.write(line, this.#bytes);
      this.#bytes += line.length;
      this.#written += 1;
      this.#torn = false;
    });
  }

  close(): Promise<void> {
    return this.#order.run(() => this.#handle.close());
  }

  async #shorten(): Promise<void> {
    const lines = linesOf(this.#records, '');
    await publish(this.#files, this.#path, lines);
    const handle = await this.#files.open(this.#path, 'write');
    await this.#handle.close();
    this.#handle = handle;
    this.#bytes = lines.length;
    this.#torn = false;
    this.#written = this.#records.length;
  }
}

/** What a round log holds, the newest; empty when it is absent. Also for a resource without a role.
 */
export async function readRecords(files: Files, path: string): Promise<RoundRecord[]> {
  const { records } = await findRecords(files, path);
  return records.slice(-ROUNDS_KEPT_MAX);
}

interface Found {
  readonly records: readonly RoundRecord[];
  /** Of the file. */
  readonly bytes: number;
  /** It does not end with a line end. */
  readonly torn: boolean;
}

/** Nothing where it cannot be read. */
async function findRecords(files: Files, path: string): Promise<Found> {
  const handle = await files.open(path, 'read').catch(() => null);
  if (handle === null) return { records: [], bytes: 0, torn: false };
  try {
    const bytes = await handle.size();
    const tail = new Uint8Array(Math.min(bytes, READ_BYTES_MAX));
    const got = await handle.read(tail, bytes - tail.length).catch(() => 0);
    const lines = Buffer.from(tail.subarray(0, got)).toString('utf8').split('\n');
    return {
      records: lines.flatMap((line) => parseRecord(line) ?? []),
      bytes,
      torn: lines.at(-1) !== '',
    };
  } finally {
    await handle.close();
  }
}

const linesOf = (records: readonly RoundRecord[], before: string): Uint8Array =>
  Buffer.from(before + records.map((record) => `${JSON.stringify(record)}\n`).join(''));

function parseRecord(line: string): RoundRecord | null {
  try {
    const value: unknown = JSON.parse(line);
    return isRoundRecord(value) ? value : null;
  } catch {
    return null;
  }
}
