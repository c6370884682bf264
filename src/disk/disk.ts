// Disk: what a guest-facing server reads and writes. A live volume and a restored point are both
// one, so the NBD code serves either (DESIGN.md §5). Offsets and lengths are bytes; the caller has
// checked that offset + length <= size. Errors are DiskError or an error with an errno.

/** 'done': finished in the call. A promise: finished later, and the callee holds a copy. */
export type Sooner = 'done' | Promise<void>;

export interface Disk {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Fills `into` from `offset`. With a promise, `into` belongs to the callee until it settles. */
  read(offset: number, into: Uint8Array): Sooner;
  /** Writes to the page cache. With a promise the callee has copied `bytes` before returning. */
  write(offset: number, bytes: Uint8Array): Sooner;
  /** The range reads as zeroes afterwards; `mayPunch` allows a hole (no NO_HOLE flag). */
  zero(offset: number, length: number, mayPunch: boolean): Promise<void>;
  /** Advice only (H13). */
  trim(offset: number, length: number): Promise<void>;
  /** Durable: everything answered before the call, on any connection (W3). */
  flush(): Promise<void>;
}
