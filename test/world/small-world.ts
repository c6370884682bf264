// A small crash world for the tests of the crash world itself: one durable file, short texts as
// content, and what a refusal must say. HAST_SEED repeats what was chosen by chance.
import assert from 'node:assert/strict';
import { FilesError } from '../../src/base/files.js';
import { seededRandom } from '../../src/base/random.js';
import { CrashWorld } from './memory-files.js';

export const SEED = Number(process.env['HAST_SEED'] ?? 1);
export const RANDOM = seededRandom(SEED);
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (world: CrashWorld, path: string): string | null => {
  const content = world.peek(path);
  return content && new TextDecoder().decode(content);
};
const errnoOf = (error: unknown): string =>
  error instanceof FilesError && error.fault.code === 'FILE_FAILED' ? error.fault.errno : 'none';
export const failsWith = (errno: string) => (error: unknown) => {
  assert.equal(errnoOf(error), errno, String(error));
  return true;
};

/** A world with durable /s/old = "old". */
export function world(options = {}): CrashWorld {
  const made = new CrashWorld(options);
  made.plant('/s/old', bytes('old'));
  return made;
}

export async function write(into: CrashWorld, path: string, content: string): Promise<void> {
  const handle = await into.open(path, 'truncate');
  await handle.write(bytes(content), 0);
  await handle.close();
}

export async function sync(into: CrashWorld, path: string): Promise<void> {
  const handle = await into.open(path, 'write');
  await handle.sync();
  await handle.close();
}
