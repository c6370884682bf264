// Entry log: digests a round will write into the table once it is committed, kept in a file so
// that memory stays bounded however large the round (W5). Not synced and worthless after a crash:
// the bits of the round are then still set, and the table names no point. A round may last for days
// on a medium that rots: each piece that is written has a check, kept in memory, 8 bytes for 4096
// entries. An entry that came back as another would stand in the table for the truth (H7).
import { checkOf, equalBytes } from '../base/digest.js';
import { type FileHandle, FilesError } from '../base/files.js';
import { type ChunkIndex, DIGEST_BYTES } from '../base/units.js';
import { FormatError } from '../format/changeset.js';

//   off size
//     0    4 chunk index, little-endian     4   16 digest
const ENTRY_BYTES = 4 + DIGEST_BYTES;
const BUFFER_ENTRIES = 4096;

interface Piece {
  readonly at: number;
  readonly bytes: number;
  readonly check: Uint8Array;
}

export class EntryLog {
  readonly #handle: FileHandle;
  readonly #buffer = Buffer.alloc(BUFFER_ENTRIES * ENTRY_BYTES);
  #buffered = 0;
  #written = 0;
  #pieces: Piece[] = [];

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Forgets everything: a new round. */
  async empty(): Promise<void> {
    this.#buffered = 0;
    this.#written = 0;
    this.#pieces = [];
    await this.#handle.truncate(0);
  }

  add(chunk: ChunkIndex, digest: Uint8Array): void {
    const at = this.#buffered * ENTRY_BYTES;
    this.#buffer.writeUInt32LE(chunk, at);
    this.#buffer.set(digest, at + 4);
    this.#buffered += 1;
    if (this.#buffered === BUFFER_ENTRIES) this.#flush();
  }

  /** All entries in the order they were added. Errors FILE_SHORT, FORMAT_BAD where a piece is not
   * what was written; those before it have been handed out. */
  async replay(each: (chunk: ChunkIndex, digest: Uint8Array) => void): Promise<void> {
    this.#flush();
    const { path } = this.#handle;
    const memory = Buffer.alloc(this.#buffer.length);
    for (const { at, bytes: wanted, check } of this.#pieces) {
      const piece = memory.subarray(0, wanted);
      const got = await this.#handle.read(piece, at);
      if (got < wanted) {
        throw new FilesError({ code: 'FILE_SHORT', path, offset: at, wanted, got });
      }
      if (!equalBytes(checkOf(piece), check)) {
        const fault = { what: 'piece of an entry log', place: `${path} at ${at}` };
        throw new FormatError({ code: 'FORMAT_BAD', ...fault, why: 'checksum differs' });
      }
      for (let entry = 0; entry + ENTRY_BYTES <= got; entry += ENTRY_BYTES) {
        each(piece.readUInt32LE(entry), piece.subarray(entry + 4, entry + ENTRY_BYTES));
      }
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  #flush(): void {
    const bytes = this.#buffer.subarray(0, this.#buffered * ENTRY_BYTES);
    if (bytes.length === 0) return;
    this.#handle.writeNow(bytes, this.#written);
    this.#pieces.push({ at: this.#written, bytes: bytes.length, check: checkOf(bytes) });
    this.#written += bytes.length;
    this.#buffered = 0;
  }
}
