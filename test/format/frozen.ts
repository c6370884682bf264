// The folder of frozen bytes (STYLE 10): files of every format that is kept or sent, as version 1
// writes them; those of archives, as version 0 does, go when version 1 of them is frozen. Nobody
// edits one: a change of a format adds files of another version beside these.
// HAST_WRITE_GOLDEN=1 writes those that are absent, and only those; their SHA-256 belongs into
// golden-sums.ts, by hand, which is when somebody looks at what is to stand for ever.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { top } from '../tidy/source.js';

const FOLDER = join(top, 'test/golden');

/** A frozen file; `made` is what the encoders of today make of the same values. */
export function frozen(name: string, made: Uint8Array): Uint8Array {
  const path = join(FOLDER, name);
  if (process.env['HAST_WRITE_GOLDEN'] === '1' && !existsSync(path)) {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(path, made);
  }
  return new Uint8Array(readFileSync(path));
}

/** Names and SHA-256 of all files of the folder, in order of their names. */
export const frozenSums = (): readonly (readonly [name: string, sha256: string])[] =>
  readdirSync(FOLDER)
    .sort()
    .map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(FOLDER, name)))
        .digest('hex'),
    ]);
