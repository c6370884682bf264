// The rounds of a resource, newest last, kept over restarts as JSON lines: for `hastctl rounds`.
// Display only: nothing is decided by it, so it is not synced and a damaged line is left out.
import type { FileHandle, Files } from '../base/files.js';
import { MIB } from '../base/units.js';
import type { RoundRecord } from '../control/api.js';

/** Records kept; older ones go when the file is rewritten at start. */
export const ROUNDS_KEPT_MAX = 1000;
const FILE_BYTES_MAX = 16 * MIB;

export class RoundLog {
  readonly #handle: FileHandle;
  readonly #records: RoundRecord[];
  #bytes = 0;

  private constructor(handle: FileHandle, records: RoundRecord[]) {
    this.#handle = handle;
    this.#records = records;
  }

  static async open(files: Files, path: string): Promise<RoundLog> {
    const records = await readRecords(files, path);
    const log = new RoundLog(await files.open(path, 'truncate'), []);
    for (const record of records.slice(-ROUNDS_KEPT_MAX)) await log.add(record);
    return log;
  }

  get records(): readonly RoundRecord[] {
    return this.#records;
  }

  async add(record: RoundRecord): Promise<void> {
    this.#records.push(record);
    if (this.#records.length > ROUNDS_KEPT_MAX) this.#records.shift();
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    const offset = this.#bytes;
    this.#bytes += line.length;
    await this.#handle.write(line, offset);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** What a round log holds; empty when it is absent. Also for a resource without a role. */
export async function readRecords(files: Files, path: string): Promise<RoundRecord[]> {
  const bytes = await files.readWhole(path, FILE_BYTES_MAX).catch(() => null);
  const records: RoundRecord[] = [];
  for (const line of Buffer.from(bytes ?? [])
    .toString('utf8')
    .split('\n')) {
    const record = parseRecord(line);
    if (record !== null) records.push(record);
  }
  return records;
}

function parseRecord(line: string): RoundRecord | null {
  try {
    const value: unknown = JSON.parse(line);
    const whole = typeof value === 'object' && value !== null && 'id' in value;
    return whole ? (value as RoundRecord) : null;
  } catch {
    return null;
  }
}
