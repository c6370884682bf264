// Un-synced changes of one file of the crash world, and what a crash makes of each: kept, lost, or
// torn at sectors of 512 bytes. Offsets and lengths are bytes.
import { type Random, seededRandom } from '../../src/base/random.js';
import { SECTOR_BYTES } from '../../src/base/units.js';
import type { Sparse } from './sparse.js';

export type FileChange =
  | { readonly kind: 'write'; readonly sequence: number; offset: number; bytes: Uint8Array }
  | { readonly kind: 'zero'; readonly sequence: number; offset: number; length: number }
  | { readonly kind: 'truncate'; readonly sequence: number; bytes: number };

/** A change that has not got its number yet. */
export type Unnumbered = FileChange extends infer C
  ? C extends FileChange
    ? Omit<C, 'sequence'>
    : never
  : never;

/** Which sectors of a torn write reach the disk: the first half, the rest, every other one, none
 * (but the size does, where the write made the file longer), or as a seed says. */
export type Torn = 'first' | 'second' | 'alternate' | 'size' | number;

/** What becomes of one change. Only writes and zeroes can be torn. */
export type Fate = 'kept' | 'lost' | { readonly torn: Torn };

/** By the number (`sequence`) of the change; what is not named is kept. */
export type Fates = ReadonlyMap<number, Fate>;

/** Sectors that a change touches; 0: it cannot be torn. */
export function sectorsOf(change: FileChange): number {
  if (change.kind === 'truncate') return 0;
  const length = change.kind === 'write' ? change.bytes.length : change.length;
  const end = Math.ceil((change.offset + length) / SECTOR_BYTES);
  return end - Math.floor(change.offset / SECTOR_BYTES);
}

export function apply(content: Sparse, change: FileChange): void {
  if (change.kind === 'write') content.write(change.bytes, change.offset);
  else if (change.kind === 'zero') content.zero(change.offset, change.length);
  else content.truncate(change.bytes);
}

export function applyFate(content: Sparse, change: FileChange, fate: Fate = 'kept'): void {
  if (fate === 'lost') return;
  if (fate === 'kept' || change.kind === 'truncate') {
    apply(content, change);
    return;
  }
  const { torn } = fate;
  const half = Math.ceil(sectorsOf(change) / 2);
  const coin = typeof torn === 'number' ? seededRandom(torn) : null;
  applySectors(content, change, (sector) => {
    if (coin !== null) return coin.below(2) === 0;
    if (torn === 'alternate') return sector % 2 === 0;
    return torn === 'first' ? sector < half : torn === 'second' && sector >= half;
  });
  const sizeToo = torn === 'size' || coin?.below(2) === 0;
  if (change.kind === 'write' && sizeToo) content.grow(change.offset + change.bytes.length);
}

/** A change lost, whole, or in any subset of its sectors; each with a third of the chance. */
export function applyTorn(content: Sparse, change: FileChange, random: Random): void {
  const fate = random.below(3);
  if (fate === 0) return;
  if (fate === 1 || change.kind === 'truncate') {
    apply(content, change);
    return;
  }
  applySectors(content, change, () => random.below(2) === 0);
  // The new size may reach the disk while the bytes did not: they read as zeroes then.
  if (change.kind === 'write' && random.below(2) === 0) {
    content.grow(change.offset + change.bytes.length);
  }
}

/** Those sectors of a write or zeroing, counted from its first, for which `keeps` says so. */
function applySectors(
  content: Sparse,
  change: Exclude<FileChange, { kind: 'truncate' }>,
  keeps: (sector: number) => boolean,
): void {
  const length = change.kind === 'write' ? change.bytes.length : change.length;
  const end = change.offset + length;
  for (let at = change.offset, sector = 0; at < end; sector += 1) {
    const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    if (keeps(sector)) {
      if (change.kind === 'zero') content.zero(at, next - at);
      else content.write(change.bytes.subarray(at - change.offset, next - change.offset), at);
    }
    at = next;
  }
}
