// An archive in a directory, filled from an image file as rounds fill it: the first from nothing,
// each further one with the blocks that differ. For tests and benchmarks that serve real disks.
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.js';
import { equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, MIB } from '../../src/base/units.js';
import type { Secret } from '../../src/format/archive-identity.js';
import { openDirectoryStore } from '../../src/store/directory-store.js';
import { Sender } from './sender.js';

const PIECE_BYTES = 8 * MIB;
const PACK_BYTES = 32 * MIB;

export interface FilledArchive {
  /** file:///…, with the resource. */
  readonly url: string;
  readonly path: string;
  /** Sends what differs in the image now: the next point. */
  round(): Promise<void>;
}

/** `folder`: gets the directory `vm1`. The image is held in memory. */
export async function fillArchive(
  folder: string,
  image: string,
  secret: Secret | null = null,
  seed = 7,
): Promise<FilledArchive> {
  const path = join(folder, 'vm1');
  mkdirSync(path);
  const fd = openSync(image, 'r');
  const { size } = fstatSync(fd);
  closeSync(fd);
  const sender = new Sender(seededRandom(seed), new Map(), secret, size);
  sender.packBytes = PACK_BYTES;
  sender.newStore = () => openDirectoryStore(path, systemClock.wallMs());
  const round = async (): Promise<void> => {
    takeImage(sender, image);
    await sender.round();
  };
  await round();
  return { url: `file://${path}`, path, round };
}

/** Marks the blocks in which the image differs from the disk, and makes them the same. */
function takeImage({ disk, dirty }: Sender, image: string): void {
  const fd = openSync(image, 'r');
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let offset = 0; offset < disk.length; offset += PIECE_BYTES) {
    const length = readSync(fd, piece, 0, PIECE_BYTES, offset);
    for (let at = 0; at < length; at += BLOCK_BYTES) {
      const end = Math.min(length, at + BLOCK_BYTES);
      const old = disk.subarray(offset + at, offset + end);
      if (equalBytes(piece.subarray(at, end), old)) continue;
      old.set(piece.subarray(at, end));
      const block = (offset + at) / BLOCK_BYTES;
      const chunk = Math.floor(block / BLOCKS_PER_CHUNK);
      dirty.set(chunk, (dirty.get(chunk) ?? 0) | (1 << (block % BLOCKS_PER_CHUNK)));
    }
  }
  closeSync(fd);
}
