// An archive on a disk that is plugged in, for tests of hastctl that work on it by its url.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { equalBytes } from '../../src/base/digest.js';
import { type MadeArchive, makeArchive, plugIn } from '../archive/directory-archive.js';
import { scratch } from '../real.js';

export const MIB = 1024 * 1024;
export const SIZE = 48 * MIB + 512;
export const SHAPE = { sizeBytes: SIZE, rounds: 4, blocks: 40 };

let made: Promise<MadeArchive> | null = null;

/** One archive for all tests that do not change it, in a folder of its own for each. */
export async function plugged(t: TestContext) {
  made ??= makeArchive(21, SHAPE);
  const { objects, images } = await made;
  const folder = scratch(t);
  const url = plugIn(folder, objects);
  return { folder, url, images, path: join(folder, 'vm1.img') };
}

export function assertImage(path: string, image: Uint8Array | undefined): void {
  assert.ok(image);
  assert.ok(equalBytes(readFileSync(path), image), `${path} is that image`);
}
