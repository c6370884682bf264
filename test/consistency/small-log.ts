// A small disk and its log for the tests of the checker: stamps are the test's, an image shows of
// each block what the test says.
import { BlockLog, type OperationRecord } from './block-log.js';
import type { Violation } from './check-point.js';

export const SEED = Number(process.env['HAST_SEED'] ?? 1);
export const BLOCK = 4096;
/** Seven blocks, the last of one sector. */
export const SIZE = 6 * BLOCK + 512;

/** A log whose stamps the test sets, over a base that is not zero in its first two blocks. */
export function newLog(sizeBytes = SIZE) {
  const time = { now: 0 };
  const base = (block: number) => (block < 2 ? new Uint8Array(BLOCK).fill(0xb0 + block) : null);
  const log = new BlockLog({ sizeBytes, seed: 5, base, stamp: () => time.now });
  return { log, time };
}

/** Sets the content of one block of an image to what an operation (null: the base) leaves. */
export function put(
  image: Uint8Array,
  log: BlockLog,
  block: number,
  from: OperationRecord | null,
): void {
  const bytes = image.subarray(block * BLOCK, block * BLOCK + log.lengthOf(block));
  if (from?.kind === 'write') bytes.set(log.blockOf(from, block));
  else if (from) bytes.fill(0);
  else bytes.set(log.baseOf(block) ?? new Uint8Array(bytes.length));
}

export function baseImage(log: BlockLog): Uint8Array {
  const image = new Uint8Array(log.sizeBytes);
  for (let block = 0; block < log.blocks; block += 1) put(image, log, block, null);
  return image;
}

export const kinds = (found: readonly Violation[]): string =>
  found.map((one) => one.kind).join(' ');
