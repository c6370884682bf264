// The mutants of this folder: each NAME.patch breaks one rule in the product's own source.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { top } from '../tidy/source.js';
import { type Mutant, parseMutant } from './patch.js';

const FOLDER = join(top, 'test', 'mutants');
const ENDING = '.patch';

/** All of them, by name. */
export const mutants = (): readonly Mutant[] =>
  readdirSync(FOLDER)
    .filter((name) => name.endsWith(ENDING))
    .sort()
    .map((name) =>
      parseMutant(name.slice(0, -ENDING.length), readFileSync(join(FOLDER, name), 'utf8')),
    );
