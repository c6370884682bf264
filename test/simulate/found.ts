// Histories that once broke a promise, kept as files (test/simulate/found/*.json): the setup of a
// run as `HISTORY` printed it, and what was wrong. Each is run again by simulate.test.ts.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Act } from './acts.js';
import type { Setup } from './setup.js';

const act = z.looseObject({ kind: z.string(), seed: z.number(), gapMs: z.number() });
const history = z.looseObject({
  /** The promise, and how it was broken. */
  what: z.string().optional(),
  seed: z.number(),
  hosts: z.array(z.string()),
  sizeBytes: z.number(),
  extentBytes: z.number(),
  keepdirty: z.number(),
  spillBytes: z.number(),
  retain: z.number(),
  metaflush: z.boolean(),
  /** Histories from before there was such a thing have none. */
  busy: z.boolean().default(false),
  acts: z.array(act),
});

/** The repo's folder, from where this is compiled to. */
const FOLDER = join(import.meta.dirname, '..', '..', '..', 'test', 'simulate', 'found');

export function readHistory(path: string): Setup {
  const parsed = history.parse(JSON.parse(readFileSync(path, 'utf8')));
  return { ...parsed, acts: parsed.acts as unknown as readonly Act[] };
}

/** Names, sorted, and their setups. */
export function histories(): [string, Setup][] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
  return files.sort().map((name) => [name, readHistory(join(FOLDER, name))]);
}
