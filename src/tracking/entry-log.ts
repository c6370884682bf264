// Entry log: digests a round will write into the table once it is committed, kept in a file so
// that memory stays bounded however large the round (W5). Not synced and worthless after a crash:
// the bits of the round are then still set, and the table names no point.
import { type FileHandle, FilesError } from '../base/files.js';
import { type ChunkIndex, DIGEST_BYTES } from '../base/units.js';

//   off size
//     0    4 chunk index, little-endian     4   16 digest
const ENTRY_BYTES = 4 + DIGEST_BYTES;
const BUFFER_ENTRIES = 4096;

export class EntryLog {
  readonly #handle: FileHandle;
  readonly #buffer = Buffer.alloc(BUFFER_ENTRIES * ENTRY_BYTES);
  #buffered = 0;
  #written = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Forgets everything: a new round. */
  async empty(): Promise<void> {
    this.#buffered = 0;
    this.#written = 0;
    await this.#handle.truncate(0);
  }

  add(chunk: ChunkIndex, digest: Uint8Array): void {
    const at = this.#buffered * ENTRY_BYTES;
    this.#buffer.writeUInt32LE(chunk, at);
    this.#buffer.set(digest, at + 4);
    this.#buffered += 1;
    if (this.#buffered === BUFFER_ENTRIES) this.#flush();
  }

  /** All entries in the order they were added. */
  async replay(each: (chunk: ChunkIndex, digest: Uint8Array) => void): Promise<void> {
    this.#flush();
    const piece = Buffer.alloc(this.#buffer.length);
    for (let at = 0; at < this.#written; at += piece.length) {
      const wanted = Math.min(piece.length, this.#written - at);
      const got = await this.#handle.read(piece.subarray(0, wanted), at);
      if (got < wanted) {
        const { path } = this.#handle;
        throw new FilesError({ code: 'FILE_SHORT', path, offset: at, wanted, got });
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
    if (bytes.length > 0) this.#handle.writeNow(bytes, this.#written);
    this.#written += bytes.length;
    this.#buffered = 0;
  }
}
