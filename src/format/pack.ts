// Packing of frame bodies: zstd where it pays, raw where it does not. Guarantee: unpacking never
// gives, nor allocates, more than the length that was asked for, whatever the stored bytes claim.
// Lengths are bytes. Contexts are kept and reused, so a pack function belongs to one thread.
import binding from 'zstd-napi/binding.js';
import { assert } from '../base/assert.js';

/** 0: as it is. 1: one zstd frame (RFC 8878) that states its content size. */
export type Codec = 0 | 1;
export const CODEC_RAW = 0;
export const CODEC_ZSTD = 1;

export interface Packed {
  readonly codec: Codec;
  readonly bytes: Uint8Array;
}

/** The result is `body` itself (CODEC_RAW) or lies in memory of the pack function, until its next
 * call: big allocations make the collector run, which cost more than a tenth of a round. */
export type Pack = (body: Uint8Array) => Packed;

/**
 * The first `wantBytes` (default: all) of the `rawBytes` that `stored` holds; null when it does
 * not hold exactly that many. With CODEC_RAW the result is a part of `stored`.
 */
export type Unpack = (
  stored: Uint8Array,
  codec: Codec,
  rawBytes: number,
  wantBytes?: number,
) => Uint8Array | null;

/** 'none' and 'hole' differ in what becomes an entry's `zero` bits, which is not decided here. */
export type Compression =
  | { readonly codec: 'none' | 'hole' }
  | { readonly codec: 'zstd'; readonly level?: number };

/** zstd has to save at least raw / SAVING_DIVISOR: below, the reader's time is worth more. */
const SAVING_DIVISOR = 32;
const LEVEL_DEFAULT = 3;
/** No body is above 2 MiB, so no honest frame asks for a larger window. */
const WINDOW_LOG_MAX = 21;

export const packRaw: Pack = (body) => ({ codec: CODEC_RAW, bytes: body });

/** A pack function for one thread. zstd levels are 1..19; default 3. */
export function packer(compression: Compression): Pack {
  if (compression.codec !== 'zstd') return packRaw;
  const level = compression.level ?? LEVEL_DEFAULT;
  assert(level >= 1 && level <= 19, 'zstd level is 1..19');
  const compressor = new binding.CCtx();
  compressor.setParameter(binding.CParameter.compressionLevel, level);
  let scratch = Buffer.alloc(0);
  return (body) => {
    const bound = binding.compressBound(body.length);
    if (scratch.length < bound) scratch = Buffer.allocUnsafeSlow(bound);
    const bytes = scratch.subarray(0, compressor.compress2(scratch, body));
    const worthIt = body.length - bytes.length >= body.length / SAVING_DIVISOR;
    return worthIt ? { codec: CODEC_ZSTD, bytes } : packRaw(body);
  };
}

let decompressor: InstanceType<typeof binding.DCtx> | null = null;

function context(): InstanceType<typeof binding.DCtx> {
  if (decompressor === null) {
    decompressor = new binding.DCtx();
    decompressor.setParameter(binding.DParameter.windowLogMax, WINDOW_LOG_MAX);
  }
  return decompressor;
}

export const unpack: Unpack = (stored, codec, rawBytes, wantBytes) =>
  unpackInto((bytes) => new Uint8Array(bytes), stored, codec, rawBytes, wantBytes);

/** An unpack whose results lie in memory of its own, until its next call; for one frame at a
 * time. Fresh memory for each frame costs the collector and the kernel more than unpacking. */
export function reusingUnpack(): Unpack {
  let scratch: Uint8Array = Buffer.alloc(0);
  const allocate = (bytes: number): Uint8Array => {
    if (scratch.length < bytes) scratch = Buffer.allocUnsafeSlow(bytes);
    return scratch.subarray(0, bytes);
  };
  return (stored, codec, rawBytes, wantBytes) =>
    unpackInto(allocate, stored, codec, rawBytes, wantBytes);
}

function unpackInto(
  allocate: (bytes: number) => Uint8Array,
  stored: Uint8Array,
  codec: Codec,
  rawBytes: number,
  wantBytes = rawBytes,
): Uint8Array | null {
  assert(wantBytes <= rawBytes, 'a part is not longer than the whole');
  if (codec === CODEC_RAW) return stored.length === rawBytes ? stored.subarray(0, wantBytes) : null;
  try {
    if (binding.getFrameContentSize(stored) !== rawBytes) return null;
    const out = allocate(wantBytes);
    const got = wantBytes === rawBytes ? whole(out, stored) : beginning(out, stored);
    return got === wantBytes ? out : null;
  } catch {
    // zstd reports bad data by throwing; the caller knows the place and makes the typed error.
    return null;
  }
}

const whole = (out: Uint8Array, stored: Uint8Array): number => context().decompress(out, stored);

/** Fills `out` and stops: what follows in `stored` is not decompressed beyond zstd's own block. */
function beginning(out: Uint8Array, stored: Uint8Array): number {
  const dctx = context();
  dctx.reset(binding.ResetDirective.sessionOnly);
  const [, produced] = dctx.decompressStream(out, stored);
  return produced;
}
