// Blocks that the disk cannot read, got back from a target (H20), the data thread's part: a read
// that failed is done again block by block; what still fails is asked for at the targets, and the
// guest is answered from there. Writing it back is the round thread's (Volume.writeBack). What
// cannot be had keeps its error.
import { BLOCK_BYTES, CHUNK_BYTES } from '../base/units.js';
import { type Device, DiskError } from '../disk/device.js';
import { MEDIUM_ERRNOS } from '../format/unreadable.js';

export interface RepairParts {
  readonly device: Device;
  /** The whole content of a chunk of which blocks `mask` are wanted: they are clean for the target
   * that gives it, and it is verified. Null: none can, or not in time. */
  readonly repair: (chunk: number, mask: number) => Promise<Uint8Array | null>;
}

/** Only an unreadable medium is repaired: a disk that is gone or shorter is not. */
export const isMediumError = (error: unknown): boolean =>
  error instanceof DiskError &&
  error.fault.code === 'DISK_FAILED' &&
  MEDIUM_ERRNOS.has(error.fault.errno);

/** Fills `into` from `offset`, after a read of all of it failed with `error`. */
export async function readWithRepair(
  parts: RepairParts,
  offset: number,
  into: Uint8Array,
  error: unknown,
): Promise<void> {
  if (!isMediumError(error)) throw error;
  for (let at = offset; at < offset + into.length; ) {
    const chunk = Math.floor(at / CHUNK_BYTES);
    const end = Math.min(offset + into.length, (chunk + 1) * CHUNK_BYTES);
    await readChunkPart(parts, at, into.subarray(at - offset, end - offset));
    at = end;
  }
}

async function readChunkPart(
  { device, repair }: RepairParts,
  offset: number,
  into: Uint8Array,
): Promise<void> {
  const bad: { readonly start: number; readonly end: number }[] = [];
  let failure: unknown = null;
  for (let at = offset; at < offset + into.length; ) {
    const end = Math.min(offset + into.length, (Math.floor(at / BLOCK_BYTES) + 1) * BLOCK_BYTES);
    try {
      await device.read(at, into.subarray(at - offset, end - offset));
    } catch (error) {
      if (!isMediumError(error)) throw error;
      failure = error;
      bad.push({ start: at, end });
    }
    at = end;
  }
  if (bad.length === 0) return;
  const chunk = Math.floor(offset / CHUNK_BYTES);
  const first = chunk * CHUNK_BYTES;
  const blockOf = (at: number): number => Math.floor((at - first) / BLOCK_BYTES);
  const mask = bad.reduce((all, { start }) => all | (1 << blockOf(start)), 0);
  const bytes = await repair(chunk, mask);
  if (bytes === null) throw failure;
  for (const { start, end } of bad) {
    into.set(bytes.subarray(start - first, end - first), start - offset);
  }
}
