// What a stress writer does, in shared memory: for every version of every block the stamps of a
// counter that all threads share, taken before the write was issued and after it was answered.
// H5: a point holds, for each block, a version that was the newest answered before the cut began,
// or a later one that was issued before the cut ended.
import { BLOCK_BYTES } from '../../src/base/units.js';

export const BLOCKS = 1024; // 4 MiB: 64 chunks
const VERSIONS_MAX = 4000;
/** Words of a block: its newest version, then issue and answer of each. */
const BLOCK_WORDS = 1 + 2 * VERSIONS_MAX;

export interface LogMemory {
  readonly clock: SharedArrayBuffer;
  readonly versions: SharedArrayBuffer;
}

export const allocateLog = (): LogMemory => ({
  clock: new SharedArrayBuffer(8),
  versions: new SharedArrayBuffer(BLOCKS * BLOCK_WORDS * 4),
});

export class StressLog {
  readonly #clock: Int32Array;
  readonly #words: Int32Array;

  constructor(memory: LogMemory) {
    this.#clock = new Int32Array(memory.clock);
    this.#words = new Int32Array(memory.versions);
  }

  stamp(): number {
    return Atomics.add(this.#clock, 0, 1) + 1;
  }

  /** Tells the writers to end, and whether they have been told. */
  stop(): void {
    Atomics.store(this.#clock, 1, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.#clock, 1) === 1;
  }

  /** Its one writer issues the next version of a block; null: it has had enough. */
  issue(block: number): number | null {
    const base = block * BLOCK_WORDS;
    const version = Atomics.load(this.#words, base) + 1;
    if (version >= VERSIONS_MAX) return null;
    Atomics.store(this.#words, base + 2 * version - 1, this.stamp());
    Atomics.store(this.#words, base, version);
    return version;
  }

  answer(block: number, version: number): void {
    Atomics.store(this.#words, block * BLOCK_WORDS + 2 * version, this.stamp());
  }

  newest(block: number): number {
    return Atomics.load(this.#words, block * BLOCK_WORDS);
  }

  /** Why `version` of a block may not be in a point cut between the stamps; null: it may (H5). */
  wrong(block: number, version: number, began: number, ended: number): string | null {
    const base = block * BLOCK_WORDS;
    const issued = version === 0 ? 0 : Atomics.load(this.#words, base + 2 * version - 1);
    if (issued > ended) return `version ${version} was issued at ${issued}, after ${ended}`;
    const next = Atomics.load(this.#words, base + 2 * (version + 1));
    if (this.newest(block) <= version || next === 0 || next > began) return null;
    return `version ${version + 1} was answered at ${next}, before ${began}`;
  }
}

/** A block's bytes: its number and version, all over. */
export function blockContent(block: number, version: number): Uint8Array {
  const words = new Uint32Array(BLOCK_BYTES / 4).fill(version);
  for (let at = 0; at < words.length; at += 2) words[at] = block;
  return new Uint8Array(words.buffer);
}

/** The version that bytes hold: 0 for zeroes, never written; null: torn, or another block's. */
export function versionIn(bytes: Uint8Array, block: number): number | null {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, BLOCK_BYTES / 4);
  const version = words[1] ?? 0;
  // A loop: this is the bulk of the checker's work.
  for (let at = 0; at < words.length; at += 1) {
    if (words[at] !== (at % 2 === 1 || version === 0 ? version : block)) return null;
  }
  return version;
}
