// A copy of the sources in which mutants are made and compiled, so that the checkout is never
// touched and its tests can run meanwhile. One mutant at a time; compiling goes by what changed.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { top } from '../tidy/source.js';
import { applyTo, type Mutant } from './patch.js';

const COPIED = ['src', 'test', 'bench', 'tsconfig.json', 'package.json'];

export class WorkFolder {
  readonly path: string;
  /** Texts of the files that the present mutant has changed. */
  readonly #before = new Map<string, string>();

  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'hast-mutants-'));
    for (const name of COPIED) cpSync(join(top, name), join(this.path, name), { recursive: true });
    symlinkSync(realpathSync(join(top, 'node_modules')), join(this.path, 'node_modules'));
  }

  /** Null when it compiles, else what the compiler says. */
  make(mutant: Mutant): string | null {
    for (const patch of mutant.files) {
      const path = join(this.path, patch.path);
      const text = readFileSync(path, 'utf8');
      this.#before.set(path, text);
      writeFileSync(path, applyTo(text, patch, mutant.name));
    }
    return this.compile();
  }

  /** Takes the mutant back; what is compiled stays until the next one is made. */
  restore(): void {
    for (const [path, text] of this.#before) writeFileSync(path, text);
    this.#before.clear();
  }

  /** Null when it compiles, else what the compiler says. */
  compile(): string | null {
    const compiler = join(this.path, 'node_modules', 'typescript', 'bin', 'tsc');
    const run = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.json'], {
      cwd: this.path,
      encoding: 'utf8',
    });
    return run.status === 0 ? null : `${run.stdout}${run.stderr}`.trim();
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
