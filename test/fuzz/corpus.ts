// The corpus: inputs that reached something, or broke something once, as files in the repository
// (test/fuzz/corpus/TARGET/NAME; the name is the digest of the content, so that nothing stands
// there twice). A failure is kept as `fail-NAME`, a hang as `hang-...`, until it is mended and
// renamed by hand; all are run first, in every run.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { top } from '../tidy/source.js';
import { nameOf } from './engine.js';

export const CORPUS = join(top, 'test/fuzz/corpus');
/** Of all files of one target that `distilled` leaves; what once failed is not counted. */
export const TARGET_BYTES_MAX = 10 * 1024;

export interface Entry {
  readonly name: string;
  readonly input: Uint8Array;
}

export function corpusOf(target: string): readonly Entry[] {
  let names: string[] = [];
  try {
    names = readdirSync(join(CORPUS, target)).sort();
  } catch {
    return []; // no folder: nothing was found yet
  }
  return names.map((name) => ({
    name,
    input: new Uint8Array(readFileSync(join(CORPUS, target, name))),
  }));
}

/** Writes an input; returns its path below the top folder. */
export function keep(target: string, input: Uint8Array, prefix = ''): string {
  const name = `${prefix}${nameOf(input)}`;
  mkdirSync(join(CORPUS, target), { recursive: true });
  writeFileSync(join(CORPUS, target, name), input);
  return `test/fuzz/corpus/${target}/${name}`;
}

export const drop = (target: string, name: string): void =>
  rmSync(join(CORPUS, target, name), { force: true });
