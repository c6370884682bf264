// Files of the state directory, handed in so that the crash world can replace them. Guarantee of
// any implementation: what was written is durable after `sync` of that handle; a create, rename or
// removal is durable after `syncDirectory` of its directory; anything else may be lost or torn by
// a power failure. Offsets and lengths are bytes. Failures are FilesError with the path.
import { errorClass } from './errors.js';

export type FilesFault =
  | { code: 'FILE_FAILED'; operation: string; path: string; errno: string }
  | { code: 'FILE_SHORT'; path: string; offset: number; wanted: number; got: number }
  | { code: 'FILE_TOO_LARGE'; path: string; bytes: number; bytesMax: number };

export const FilesError = errorClass<FilesFault>('FilesError', {
  FILE_FAILED: (f) => `${f.path}: ${f.operation} failed: ${f.errno}`,
  FILE_SHORT: (f) =>
    `${f.path}: wanted ${f.wanted} bytes at ${f.offset}, the file has only ${f.got} of them`,
  FILE_TOO_LARGE: (f) => `${f.path}: ${f.bytes} bytes are more than the ${f.bytesMax} allowed`,
});

/** How to open: an existing file to read, to write, a new or emptied one, or a new one only. */
export type OpenMode = 'read' | 'write' | 'truncate' | 'exclusive';

export interface FileHandle {
  readonly path: string;
  size(): Promise<number>;
  /** Fills `into` from `offset`; returns the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, offset: number): Promise<number>;
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** As `read` and `write`, in the calling thread, to and from the page cache. */
  readNow(into: Uint8Array, offset: number): number;
  writeNow(bytes: Uint8Array, offset: number): void;
  /** fdatasync. */
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  /** Reserves space for bytes 0..bytes-1 without changing the size (fallocate KEEP_SIZE). */
  reserve(bytes: number): Promise<void>;
  /** Can be called twice. */
  close(): Promise<void>;
}

export interface Files {
  open(path: string, mode: OpenMode): Promise<FileHandle>;
  /** A whole small file, or null when absent. Error FILE_TOO_LARGE above `bytesMax`. */
  readWhole(path: string, bytesMax: number): Promise<Uint8Array | null>;
  /** True when the path exists. */
  exists(path: string): Promise<boolean>;
  /** Atomic replace, as rename(2). */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; an absent one is no error. */
  remove(path: string): Promise<void>;
  /** Names in a directory, sorted; empty when it is absent. */
  list(directory: string): Promise<readonly string[]>;
  /** Creates a directory and its parents, mode 0700; an existing one is no error. */
  makeDirectory(directory: string): Promise<void>;
  syncDirectory(directory: string): Promise<void>;
}
