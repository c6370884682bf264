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
  /** The range reads as zeroes afterwards; `mayPunch` allows a hole (no NO_HOLE flag). `fast`: only
   * if that is quicker than writing; 'slow': it is not, and nothing was done (FAST_ZERO). */
  zero(offset: number, length: number, mayPunch: boolean, fast: boolean): Promise<'done' | 'slow'>;
  /** Advice only (H13). */
  trim(offset: number, length: number): Promise<void>;
  /** Durable: everything answered before the call, on any connection (W3). */
  flush(): Promise<void>;
  /** Brings the range into the page cache; advice (NBD_CMD_CACHE). */
  prefetch(offset: number, length: number): void;
  /** Names of the meta contexts of BLOCK_STATUS, the same for the life of the disk. */
  readonly contexts: readonly string[];
  /** Runs of equal flags from `offset`, together at most `length` bytes and `runsMax` runs, at
   * least one; flags are those of the context's specification. A promise: it must be looked up. */
  status(context: string, offset: number, length: number, runsMax: number): SoonerRuns;
}

export type SoonerRuns = readonly StatusRun[] | Promise<readonly StatusRun[]>;

/** A run of a meta context. */
export interface StatusRun {
  readonly length: number;
  readonly flags: number;
}
