// Units and grains. Offsets and lengths are bytes (suffix Bytes, or `offset`/`length`); indices
// carry a flavour so that a chunk number is not taken for a block number.
// Glossary: DESIGN.md §2. Sizes are multiples of 512; the last block and chunk may be short (H14).

export type Bytes = number & { readonly unit?: 'bytes' };
export type BlockIndex = number & { readonly unit?: 'block' };
export type ChunkIndex = number & { readonly unit?: 'chunk' };
export type ExtentIndex = number & { readonly unit?: 'extent' };

export const SECTOR_BYTES = 512;
/** One bit in the live map; the unit that is sent. */
export const BLOCK_BYTES = 4096;
/** The unit that is hashed, skipped, preserved. */
export const CHUNK_BYTES = 65_536;
export const BLOCKS_PER_CHUNK = 16;
/** Mask of a whole chunk: bit i is block i of the chunk. */
export const MASK_ALL = 0xffff;
/** Default grain of the intent map (HAST's extent size). */
export const EXTENT_BYTES_DEFAULT = 2 * 1024 * 1024;
/** Largest disk: 256 TiB, so that a chunk index fits 32 bits. */
export const DISK_BYTES_MAX = 2 ** 48;
export const DIGEST_BYTES = 16;
export const ID_BYTES = 16;
/** Latest time that a Date can show, in milliseconds since 1970 UTC: the year 275760. */
export const TIME_MS_MAX = 8_640_000_000_000_000;

export const MIB = 1024 * 1024;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

export const blockCount = (sizeBytes: Bytes): number => Math.ceil(sizeBytes / BLOCK_BYTES);
export const chunkCount = (sizeBytes: Bytes): number => Math.ceil(sizeBytes / CHUNK_BYTES);

/** Bytes of chunk `chunk` that exist on a disk of `sizeBytes`: CHUNK_BYTES but for the last. */
export function chunkLength(chunk: ChunkIndex, sizeBytes: Bytes): Bytes {
  return Math.min(CHUNK_BYTES, sizeBytes - chunk * CHUNK_BYTES);
}

/** Mask of the blocks of `chunk` that exist on a disk of `sizeBytes`. */
export function chunkMask(chunk: ChunkIndex, sizeBytes: Bytes): number {
  const blocks = Math.ceil(chunkLength(chunk, sizeBytes) / BLOCK_BYTES);
  return (1 << blocks) - 1;
}

/** Set bits of a 16-bit mask. */
export function bitCount(mask: number): number {
  let bits = mask & 0xffff;
  bits -= (bits >>> 1) & 0x5555;
  bits = (bits & 0x3333) + ((bits >>> 2) & 0x3333);
  bits = (bits + (bits >>> 4)) & 0x0f0f;
  return (bits + (bits >>> 8)) & 0x1f;
}

const SUFFIXES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes for people: `1.5 GiB`. */
export function humanBytes(bytes: Bytes): string {
  let value = bytes;
  let step = 0;
  while (value >= 1024 && step < SUFFIXES.length - 1) {
    value /= 1024;
    step += 1;
  }
  const digits = step === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${SUFFIXES[step]}`;
}

/** Seconds for people: `42s`, `7m`, `3h 5m`, `2d 4h`. */
export function humanSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h ${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}
