// The system calls that Node does not offer, through koffi; no native code of our own. Guarantees:
// nothing here waits for a lock, descriptors it makes are closed on exec, and the numbers are those
// of Linux on x86_64 and arm64, where all of them are equal (asm-generic; O_DIRECT is not: it is
// taken from Node). Offsets and lengths are bytes. An `errno` result is 0 for success.
// koffi is loaded once per thread. Memory goes over as plain numbers, never as Buffer or BigInt:
// measured 0.65 us per pread against 1.3 to 1.9 us.
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { assert } from '../base/assert.js';
import { errorClass } from '../base/errors.js';

export type SyscallFault = { code: 'SYSCALL_FAILED'; call: string; fd: number; errno: string };

export const SyscallError = errorClass<SyscallFault>('SyscallError', {
  SYSCALL_FAILED: (f) => `${f.call} on descriptor ${f.fd} failed: ${f.errno}`,
});

export const ERRNO = {
  EINTR: 4,
  ENXIO: 6,
  EAGAIN: 11,
  EACCES: 13,
  EINVAL: 22,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
};

/** fallocate(2) modes (linux/falloc.h). */
export const FALLOC = { KEEP_SIZE: 0x01, PUNCH_HOLE: 0x02, ZERO_RANGE: 0x10 };

// fcntl and ioctl are variadic, but Linux passes their one extra argument as any other (AAPCS64,
// System V), so a fixed signature is right and twice as fast.
const libc = koffi.load(null);
const libcFcntl = libc.func('int fcntl(int fd, int cmd, uintptr_t argument)') as Call3;
const libcIoctl = libc.func('int ioctl(int fd, ulong request, uintptr_t argument)') as Call3;
const libcExit = libc.func('void _exit(int status)') as (status: number) => void;
const libcClose = libc.func('int close(int fd)') as (fd: number) => number;
const libcFlock = libc.func('int flock(int fd, int operation)') as Call2;
const libcFallocate = libc.func('int fallocate(int fd, int mode, int64 at, int64 n)') as Call4;
const libcFadvise = libc.func('int posix_fadvise(int fd, int64 at, int64 n, int advice)') as Call4;
const libcLseek = libc.func('int64 lseek(int fd, int64 offset, int whence)') as Call3;
const libcSetsockopt = libc.func(
  'int setsockopt(int fd, int level, int name, uintptr_t value, uint length)',
) as Call5;
const libcPreadv2 = libc.func(
  'int64 preadv2(int fd, uintptr_t iov, int iovcnt, int64 offset, int flags)',
) as Call5;

type Call2 = (a: number, b: number) => number;
type Call3 = (a: number, b: number, c: number) => number;
type Call4 = (a: number, b: number, c: number, d: number) => number;
type Call5 = (a: number, b: number, c: number, d: number, e: number) => number;

/** `EIO` for 5; the text Node itself puts into `error.code`. */
export function errnoName(errno: number): string {
  return errno > 0 ? getSystemErrorName(-errno) : 'OK';
}

/** A second descriptor of the same open file, closed on exec. Error SYSCALL_FAILED. */
export function dupFd(fd: number): number {
  const copy = libcFcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw failed('dup', fd);
  return copy;
}

/** close(2), for descriptors that Node does not know. Error SYSCALL_FAILED. */
export function closeFd(fd: number): void {
  // Linux frees the number even when close says EINTR or EIO: never twice (close(2), NOTES).
  if (libcClose(fd) < 0) throw failed('close', fd);
}

/** Asks for `bytes` of send and receive buffer; the kernel grants what net.core.*mem_max allows. */
export function setSocketBuffers(fd: number, bytes: number): void {
  assert(bytes > 0 && bytes < 2 ** 30, 'a socket buffer has a sane size');
  words[0] = bytes;
  for (const name of [SO_SNDBUF, SO_RCVBUF]) {
    if (libcSetsockopt(fd, SOL_SOCKET, name, wordsAddress, 4) < 0) throw failed('setsockopt', fd);
  }
}

/** False: somebody else has it. The lock belongs to the open file, not to this descriptor. */
export function flockExclusive(fd: number): boolean {
  return flockNow(fd, LOCK_EX);
}

/** As flockExclusive, but several may hold it. */
export function flockShared(fd: number): boolean {
  return flockNow(fd, LOCK_SH);
}

export function flockRelease(fd: number): void {
  flockNow(fd, LOCK_UN);
}

/** A read lock of the open file (F_OFD_SETLK) on a range; false: it conflicts with another's. */
export function ofdReadLock(fd: number, offset: number, length: number): boolean {
  return ofdSet(fd, F_RDLCK, offset, length);
}

export function ofdUnlock(fd: number, offset: number, length: number): void {
  ofdSet(fd, F_UNLCK, offset, length);
}

export interface ForeignLock {
  /** Null for an OFD lock, which the kernel does not tie to a process. */
  readonly pid: number | null;
  readonly offset: number;
}

/** The first lock of another open file that stands in the way of `type`, or null. */
export function ofdHolder(
  fd: number,
  offset: number,
  length: number,
  type: 'read' | 'write',
): ForeignLock | null {
  fillFlock(type === 'read' ? F_RDLCK : F_WRLCK, offset, length);
  if (libcFcntl(fd, F_OFD_GETLK, wordsAddress) < 0) throw failed('fcntl(F_OFD_GETLK)', fd);
  if (shorts[0] === F_UNLCK) return null;
  const pid = signedWords[6] ?? -1;
  return { pid: pid > 0 ? pid : null, offset: readInt64(2) };
}

/** fallocate(2) with a mode of FALLOC; returns the errno. */
export function fallocate(fd: number, mode: number, offset: number, length: number): number {
  for (;;) {
    if (libcFallocate(fd, mode, offset, length) === 0) return 0;
    const errno = koffi.errno();
    if (errno !== ERRNO.EINTR) return errno;
  }
}

/**
 * Allocates bytes 0..bytes-1 of a file without changing its size (for base/node-files.ts).
 * Error SYSCALL_FAILED: ENOSPC, or EOPNOTSUPP where the file system cannot promise space.
 */
export function reserveSpace(fd: number, bytes: number): void {
  const errno = fallocate(fd, FALLOC.KEEP_SIZE, 0, bytes);
  if (errno !== 0) throw failed('fallocate', fd, errno);
}

/** Drops clean page-cache pages of a range; advice, returns the errno. */
export function posixFadviseDontNeed(fd: number, offset: number, length: number): number {
  return libcFadvise(fd, offset, length, POSIX_FADV_DONTNEED);
}

/** Turns read-ahead off for an open file description; advice, returns the errno. */
export function posixFadviseRandom(fd: number): number {
  return libcFadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}

/** Begins to bring a range into the page cache, or the first of it; advice, returns the errno. */
export function posixFadviseWillNeed(fd: number, offset: number, length: number): number {
  return libcFadvise(fd, offset, length, POSIX_FADV_WILLNEED);
}

/**
 * Reads what the page cache has of `into.length` bytes at `offset`, without waiting (preadv2 with
 * RWF_NOWAIT). Returns the bytes read, fewer at the end of the file or where the cache ends;
 * 'miss': nothing, read it another way; 'unsupported': this file system never can (tmpfs).
 * An I/O error counts as a miss: the read that follows meets and names it.
 */
export function preadCached(
  fd: number,
  into: Uint8Array,
  offset: number,
): number | 'miss' | 'unsupported' {
  if (into.length === 0) return 0;
  const address = addressOf(into);
  words[0] = address % WORD;
  words[1] = Math.floor(address / WORD);
  words[2] = into.length;
  words[3] = 0;
  const got = libcPreadv2(fd, wordsAddress, 1, offset, RWF_NOWAIT);
  if (got >= 0) return got;
  const errno = koffi.errno();
  return errno === ERRNO.EOPNOTSUPP || errno === ERRNO.EINVAL ? 'unsupported' : 'miss';
}

/** First offset >= `offset` that may hold data; null: only a hole follows. Moves the position. */
export function seekData(fd: number, offset: number): number | null {
  return seek(fd, offset, SEEK_DATA, 'lseek(SEEK_DATA)');
}

/** First offset >= `offset` in a hole, as the end of the file is one; null: beyond the end. */
export function seekHole(fd: number, offset: number): number | null {
  return seek(fd, offset, SEEK_HOLE, 'lseek(SEEK_HOLE)');
}

/** Memory that begins at a multiple of `alignBytes`, as O_DIRECT wants it. */
export function alignedMemory(bytes: number, alignBytes: number): Uint8Array {
  const room = new ArrayBuffer(bytes + alignBytes);
  const past = addressOf(new Uint8Array(room)) % alignBytes;
  return new Uint8Array(room, past === 0 ? 0 : alignBytes - past, bytes);
}

/** Size in bytes of an open block device (BLKGETSIZE64). */
export function blockDeviceSize(fd: number): number {
  if (libcIoctl(fd, BLKGETSIZE64, wordsAddress) < 0) throw failed('ioctl(BLKGETSIZE64)', fd);
  return readInt64(0);
}

const F_DUPFD_CLOEXEC = 1030;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const RWF_NOWAIT = 8;
const POSIX_FADV_RANDOM = 1;
const POSIX_FADV_WILLNEED = 3;
const POSIX_FADV_DONTNEED = 4;
const BLKGETSIZE64 = 0x8008_1272;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const WORD = 2 ** 32;

// One scratch area per thread for what the kernel reads or fills; every call fills it anew.
// An explicit ArrayBuffer lies outside the heap that the collector moves.
//   struct iovec   0  8 address          8  8 length
//   struct flock   0  2 type   2  2 whence   8  8 start   16  8 length   24  4 pid   (32 in all)
const FLOCK_BYTES = 32;
const scratch = new ArrayBuffer(FLOCK_BYTES);
const words = new Uint32Array(scratch);
const signedWords = new Int32Array(scratch);
const shorts = new Int16Array(scratch);
const wordsAddress = Number(koffi.address(words));
assert(new Uint8Array(new Uint16Array([1]).buffer)[0] === 1, 'the machine is little-endian');

const addresses = new WeakMap<ArrayBufferLike, number>();

/** Address of the bytes of a view; the view must live until the call is over. */
export function addressOf(view: Uint8Array): number {
  const { buffer } = view; // also takes a small array out of the moving heap
  let base = addresses.get(buffer);
  if (base === undefined) {
    base = Number(koffi.address(new Uint8Array(buffer)));
    assert(base > 0 && Number.isSafeInteger(base), 'a buffer has an address');
    addresses.set(buffer, base);
  }
  return base + view.byteOffset;
}

function readInt64(word: number): number {
  return (words[word] ?? 0) + (words[word + 1] ?? 0) * WORD;
}

function fillFlock(type: number, offset: number, length: number): void {
  words.fill(0); // F_OFD_*: the pid must be 0; whence 0 is SEEK_SET
  shorts[0] = type;
  words[2] = offset % WORD;
  words[3] = Math.floor(offset / WORD);
  words[4] = length % WORD;
  words[5] = Math.floor(length / WORD);
}

function ofdSet(fd: number, type: number, offset: number, length: number): boolean {
  fillFlock(type, offset, length);
  if (libcFcntl(fd, F_OFD_SETLK, wordsAddress) === 0) return true;
  const errno = koffi.errno();
  if (errno === ERRNO.EAGAIN || errno === ERRNO.EACCES) return false;
  throw failed('fcntl(F_OFD_SETLK)', fd, errno);
}

function seek(fd: number, offset: number, whence: number, call: string): number | null {
  const found = libcLseek(fd, offset, whence);
  if (found >= 0) return found;
  if (koffi.errno() === ERRNO.ENXIO) return null;
  throw failed(call, fd);
}

function flockNow(fd: number, operation: number): boolean {
  if (libcFlock(fd, operation | LOCK_NB) === 0) return true;
  const errno = koffi.errno();
  if (errno === ERRNO.EAGAIN) return false;
  throw failed('flock', fd, errno);
}

function failed(call: string, fd: number, errno = koffi.errno()): Error {
  return new SyscallError({ code: 'SYSCALL_FAILED', call, fd, errno: errnoName(errno) });
}

/** Ends the process at once, whatever its threads are in (_exit(2)). */
export const exitNow = (status: number): void => libcExit(status);
