// Files over node:fs. Guarantees: those of base/files.ts, files have mode 0600 and directories
// 0700, short reads and writes are completed, and every failure is a FilesError with the errno.
// Offsets and lengths are bytes.
import { readSync, writeSync } from 'node:fs';
import {
  access,
  mkdir,
  type FileHandle as NodeHandle,
  open,
  readdir,
  rename,
  unlink,
} from 'node:fs/promises';
import { AssertionError, assert } from './assert.js';
import { codeOf, HastError } from './errors.js';
import { type FileHandle, type Files, FilesError, type OpenMode } from './files.js';

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
const FLAGS: Readonly<Record<OpenMode, string>> = {
  read: 'r',
  write: 'r+',
  truncate: 'w+',
  exclusive: 'wx+',
};

/**
 * `reserve` allocates bytes 0..bytes-1 of an open file without changing its size; its error says
 * the errno in `code` or, as a HastError, in `fault.errno`.
 */
export function nodeFiles(reserve: (fd: number, bytes: number) => void): Files {
  return {
    open: async (path, mode) => {
      const handle = await step(path, 'open', () => open(path, FLAGS[mode], FILE_MODE));
      return new NodeFileHandle(path, handle, reserve);
    },
    readWhole,
    exists: async (path) => {
      const found = await orNull(path, 'access', () => access(path).then(() => true));
      return found !== null;
    },
    rename: (from, to) => step(to, `rename of ${from}`, () => rename(from, to)),
    remove: async (path) => {
      await orNull(path, 'unlink', () => unlink(path));
    },
    list: async (directory) => {
      const names = await orNull(directory, 'readdir', () => readdir(directory));
      return (names ?? []).sort();
    },
    makeDirectory: async (directory) => {
      const made = { recursive: true, mode: DIRECTORY_MODE };
      await step(directory, 'mkdir', () => mkdir(directory, made));
    },
    syncDirectory: (directory) =>
      step(directory, 'fsync', async () => {
        const handle = await open(directory, 'r');
        try {
          await handle.sync();
        } finally {
          await handle.close();
        }
      }),
  };
}

/** One open file; every operation says where it reads or writes, there is no position. */
class NodeFileHandle implements FileHandle {
  readonly path: string;
  readonly #handle: NodeHandle;
  readonly #reserve: (fd: number, bytes: number) => void;

  constructor(path: string, handle: NodeHandle, reserve: (fd: number, bytes: number) => void) {
    this.path = path;
    this.#handle = handle;
    this.#reserve = reserve;
  }

  size(): Promise<number> {
    return step(this.path, 'fstat', async () => (await this.#handle.stat()).size);
  }

  // read(2) may return less than asked for before the end (a signal, a network file system): only
  // nothing at all is the end.
  read(into: Uint8Array, offset: number): Promise<number> {
    return step(this.path, 'read', async () => {
      let done = 0;
      while (done < into.length) {
        const left = into.length - done;
        const { bytesRead } = await this.#handle.read(into, done, left, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return step(this.path, 'write', async () => {
      for (let done = 0; done < bytes.length; ) {
        const left = bytes.length - done;
        const { bytesWritten } = await this.#handle.write(bytes, done, left, offset + done);
        assert(bytesWritten > 0, 'write(2) of some bytes writes some or fails');
        done += bytesWritten;
      }
    });
  }

  readNow(into: Uint8Array, offset: number): number {
    return this.#now('read', () => {
      let done = 0;
      while (done < into.length) {
        const got = readSync(this.#handle.fd, into, done, into.length - done, offset + done);
        if (got === 0) break;
        done += got;
      }
      return done;
    });
  }

  writeNow(bytes: Uint8Array, offset: number): void {
    this.#now('write', () => {
      for (let done = 0; done < bytes.length; ) {
        const left = bytes.length - done;
        const written = writeSync(this.#handle.fd, bytes, done, left, offset + done);
        assert(written > 0, 'write(2) of some bytes writes some or fails');
        done += written;
      }
    });
  }

  // fdatasync covers the size and what is needed to find the data, not the times (fdatasync(2)).
  sync(): Promise<void> {
    return step(this.path, 'fdatasync', () => this.#handle.datasync());
  }

  truncate(bytes: number): Promise<void> {
    return step(this.path, 'truncate', () => this.#handle.truncate(bytes));
  }

  async reserve(bytes: number): Promise<void> {
    if (bytes > 0) this.#now('fallocate', () => this.#reserve(this.#handle.fd, bytes));
  }

  /** Waits for operations under way, as Node's handle does; a second call changes nothing. */
  close(): Promise<void> {
    return step(this.path, 'close', () => this.#handle.close());
  }

  #now<T>(operation: string, work: () => T): T {
    assert(this.#handle.fd >= 0, 'a closed file is not used');
    try {
      return work();
    } catch (cause) {
      throw failure(this.path, operation, cause);
    }
  }
}

/** The size is checked before anything is allocated (STYLE 11). */
async function readWhole(path: string, bytesMax: number): Promise<Uint8Array | null> {
  const handle = await orNull(path, 'open', () => open(path, 'r'));
  if (handle === null) return null;
  return step(path, 'read', async () => {
    try {
      const { size } = await handle.stat();
      if (size > bytesMax) {
        throw new FilesError({ code: 'FILE_TOO_LARGE', path, bytes: size, bytesMax });
      }
      const bytes = new Uint8Array(size);
      let done = 0;
      while (done < size) {
        const { bytesRead } = await handle.read(bytes, done, size - done, done);
        if (bytesRead === 0) break; // it was made shorter meanwhile
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    } finally {
      await handle.close();
    }
  });
}

/** Runs one operation and names its failure: what, on which path, the errno, the cause kept. */
async function step<T>(path: string, operation: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw failure(path, operation, cause);
  }
}

/** As step, but null when the path does not exist. */
async function orNull<T>(path: string, operation: string, work: () => Promise<T>) {
  try {
    return await work();
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return null;
    throw failure(path, operation, cause);
  }
}

/** A typed error passes as it is, and so does an assertion: it is not the world's mistake. */
function failure(path: string, operation: string, cause: unknown): unknown {
  if (cause instanceof FilesError || cause instanceof AssertionError) return cause;
  return new FilesError({ code: 'FILE_FAILED', operation, path, errno: errnoOf(cause) }, { cause });
}

/** EIO for an error without any name, so that callers always have one to decide on. */
function errnoOf(cause: unknown): string {
  if (cause instanceof HastError && 'errno' in cause.fault) return String(cause.fault.errno);
  return codeOf(cause) ?? 'EIO';
}
