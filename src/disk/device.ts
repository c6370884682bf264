// Device: the bytes of a regular file or block device, below tracking. `...Now` calls finish in
// the calling thread against the page cache; the others run on the thread pool. Offsets and
// lengths are bytes; nothing beyond sizeBytes is ever touched (H14).
import { errorClass } from '../base/errors.js';

export type DiskFault =
  | { code: 'DISK_FAILED'; operation: string; path: string; offset: number; errno: string }
  | { code: 'DISK_SHORT_READ'; path: string; offset: number; wanted: number; got: number }
  | { code: 'DISK_MISSING'; path: string }
  | { code: 'DISK_NOT_RAW'; path: string; format: string }
  | { code: 'DISK_BAD_SIZE'; path: string; sizeBytes: number }
  | { code: 'DISK_IN_USE'; path: string; holder: string }
  | { code: 'DISK_NOT_A_DISK'; path: string; kind: string }
  | { code: 'DISK_SUSPECT'; path: string; reason: string };

export const DiskError = errorClass<DiskFault>('DiskError', {
  DISK_FAILED: (f) => `${f.path}: ${f.operation} at byte ${f.offset} failed: ${f.errno}`,
  DISK_SHORT_READ: (f) =>
    `${f.path}: wanted ${f.wanted} bytes at ${f.offset}, got ${f.got}; was the disk made smaller?`,
  DISK_MISSING: (f) =>
    `${f.path}: no such disk (is its file system mounted? A disk that is new: make it, or let ` +
    '"hastctl create -m SIZE" make a sparse file)',
  DISK_NOT_RAW: (f) =>
    `${f.path}: is a ${f.format} image; hast replicates raw disks ` +
    `(qemu-img convert -O raw ${f.path} ${f.path}.raw)`,
  DISK_BAD_SIZE: (f) => `${f.path}: ${f.sizeBytes} bytes is not a multiple of 512, or is 0`,
  DISK_IN_USE: (f) => `${f.path}: in use by ${f.holder}; stop it first`,
  DISK_NOT_A_DISK: (f) => `${f.path}: is a ${f.kind}, not a regular file or block device`,
  DISK_SUSPECT: (f) => `${f.path}: refused, ${f.reason}; restart hastd after looking at the disk`,
});

/** As Device.write, at once. */
export type WriteReserved = (offset: number, bytes: Uint8Array) => Promise<void>;

export interface Device {
  readonly path: string;
  readonly sizeBytes: number;
  /** Fills `into` if all of it is in the page cache; false: it is not (or cannot be told). */
  readCached(offset: number, into: Uint8Array): boolean;
  read(offset: number, into: Uint8Array): Promise<void>;
  /** As `read`, and pages that it had to bring in are dropped again; those that were in the page
   * cache stay (H22). */
  readAside(offset: number, into: Uint8Array): Promise<void>;
  /** Reads what the medium holds, past the page cache, and leaves the cache as it is where the
   * file system can do that (O_DIRECT); else clean pages are dropped first (H28). */
  readMedium(offset: number, into: Uint8Array): Promise<void>;
  writeNow(offset: number, bytes: Uint8Array): void;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** `work` begins when a place on the pool is kept for its writes: none of them waits for other
   * operations of this device. One at a time. */
  reserved<T>(work: (write: WriteReserved) => Promise<T>): Promise<T>;
  /** At most 1 MiB of zeroes that read as zeroes; allocated unless `mayPunch`. */
  zeroNow(offset: number, length: number, mayPunch: boolean): void;
  /** Punches a hole; false: not supported here, nothing was done (H13: never BLKDISCARD). */
  punchNow(offset: number, length: number): boolean;
  /** First offset >= `from` that may hold data, or sizeBytes when only a hole follows. */
  nextData(from: number): number;
  /** First offset >= `from` that lies in a hole, or sizeBytes; always sizeBytes where holes cannot
   * be told. */
  nextHole(from: number): number;
  /** Asks the kernel to bring the range into the page cache; advice. */
  prefetch(offset: number, length: number): void;
  /** Drops clean cached pages of the range, so that the next read asks the medium. */
  dropCached(offset: number, length: number): void;
  /** fdatasync, on the pool. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
