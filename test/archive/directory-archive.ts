// An archive in a directory, as a disk that is plugged in has it, made by a Sender.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { Secret } from '../../src/format/archive-identity.js';
import type { MemoryObjects } from '../store/memory-store.js';
import { Sender } from './sender.js';

export interface MadeArchive {
  readonly objects: MemoryObjects;
  /** By point: number 1 is the first. */
  readonly images: readonly Uint8Array[];
}

export interface ArchiveShape {
  readonly sizeBytes: number;
  readonly rounds: number;
  /** Blocks that each round after the first writes. */
  readonly blocks: number;
  readonly secret?: Secret;
}

/** Content that does not compress, with holes; rounds write blocks all over the disk. */
export async function makeArchive(seed: number, shape: ArchiveShape): Promise<MadeArchive> {
  const { sizeBytes, rounds, blocks, secret = null } = shape;
  const objects: MemoryObjects = new Map();
  const random = seededRandom(seed);
  const sender = new Sender(random, objects, secret, sizeBytes);
  sender.packBytes = 4 * 1024 * 1024;
  const images: Uint8Array[] = [];
  for (let round = 0; round < rounds; round += 1) {
    if (round === 0) fill(random, sender.disk);
    for (let left = round === 0 ? 0 : blocks; left > 0; left -= 1) {
      const block = random.below(Math.ceil(sizeBytes / BLOCK_BYTES));
      const bytes = sender.disk.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
      bytes.set(random.bytes(bytes.length));
      const chunk = Math.floor(block / 16);
      sender.dirty.set(chunk, (sender.dirty.get(chunk) ?? 0) | (1 << (block % 16)));
    }
    await sender.round();
    images.push(sender.disk.slice());
  }
  return { objects, images };
}

/** Three of four MiB. */
function fill(random: Random, disk: Uint8Array): void {
  const mib = 1024 * 1024;
  for (let at = 0; at < disk.length; at += mib) {
    const bytes = disk.subarray(at, at + mib);
    if ((at / mib) % 4 !== 2) bytes.set(random.bytes(bytes.length));
  }
}

/** Writes the objects below `folder`/vm1; returns the url. */
export function plugIn(folder: string, objects: MemoryObjects): string {
  const place = join(folder, 'vm1');
  for (const [key, { bytes }] of objects) {
    mkdirSync(dirname(join(place, key)), { recursive: true });
    writeFileSync(join(place, key), bytes);
  }
  return `file://${place}`;
}
