// A mutant as a file: header lines `rule:`, `breaks:`, `shows:`, then a unified diff against src.
// Reading and applying are pure and strict: every context line must be there as it is; where it
// stands may have moved, the nearest place counts. So a patch rots only when what it breaks has
// changed, and mutants.test.ts says so.
import assert from 'node:assert/strict';

interface Hunk {
  /** Line of the older text, from 0, where it was when the patch was made. */
  readonly at: number;
  readonly before: readonly string[];
  readonly after: readonly string[];
}

export interface FilePatch {
  /** Below the top folder. */
  readonly path: string;
  readonly hunks: readonly Hunk[];
}

export interface Mutant {
  readonly name: string;
  /** The rule or promise of RULES.md and DESIGN.md that it breaks. */
  readonly rule: string;
  readonly breaks: string;
  /** What must happen for anybody to see it. */
  readonly shows: string;
  readonly files: readonly FilePatch[];
}

const HEADER = /^(rule|breaks|shows): (\S.*)$/;
const RANGE = /^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@/;

/** Reads a patch; fails with the name and line of what is not as it should be. */
export function parseMutant(name: string, text: string): Mutant {
  const lines = text.split('\n');
  const header = new Map<string, string>();
  let at = 0;
  for (; !(lines[at] ?? '---').startsWith('---'); at += 1) {
    const [, key, value] = lines[at]?.match(HEADER) ?? [];
    assert.ok(key && value && !header.has(key), `${name}:${at + 1}: no header line`);
    header.set(key, value);
  }
  const [rule, breaks, shows] = ['rule', 'breaks', 'shows'].map((key) => header.get(key));
  assert.ok(rule && breaks && shows, `${name}: it says rule, breaks and shows`);
  const files: FilePatch[] = [];
  while (at < lines.length && lines[at] !== '') {
    const path = lines[at]?.match(/^--- a\/(\S+)$/)?.[1];
    assert.ok(path !== undefined, `${name}:${at + 1}: no name of a file`);
    assert.equal(lines[at + 1], `+++ b/${path}`, `${name}: it changes files, and nothing else`);
    const { hunks, end } = readHunks(name, lines, at + 2);
    files.push({ path, hunks });
    at = end;
  }
  assert.ok(files.length > 0, `${name}: it changes something`);
  return { name, rule, breaks, shows, files };
}

function readHunks(name: string, lines: readonly string[], first: number) {
  const hunks: Hunk[] = [];
  let at = first;
  while (lines[at]?.startsWith('@@')) {
    const range = lines[at]?.match(RANGE);
    assert.ok(range, `${name}:${at + 1}: no range`);
    const [before, after]: [string[], string[]] = [[], []];
    for (at += 1; /^[ +-]/.test(lines[at] ?? '') && !isFile(lines, at); at += 1) {
      const line = lines[at] ?? '';
      if (line[0] !== '+') before.push(line.slice(1));
      if (line[0] !== '-') after.push(line.slice(1));
    }
    hunks.push({ at: Number(range[1]) - 1, before, after });
  }
  assert.ok(hunks.length > 0, `${name}:${first + 1}: no change of the file`);
  return { hunks, end: at };
}

const isFile = (lines: readonly string[], at: number): boolean =>
  /^--- a\//.test(lines[at] ?? '') && (lines[at + 1] ?? '').startsWith('+++ b/');

/** The file's text as the mutant has it; fails where a hunk has no place any more. */
export function applyTo(text: string, patch: FilePatch, name: string): string {
  let lines: readonly string[] = text.split('\n');
  let [from, moved] = [0, 0];
  for (const { at, before, after } of patch.hunks) {
    const found = nearest(lines, before, from, at + moved);
    assert.ok(found >= 0, `${name}: what it breaks in ${patch.path}:${at + 1} has changed`);
    lines = [...lines.slice(0, found), ...after, ...lines.slice(found + before.length)];
    from = found + after.length;
    moved = found - at + after.length - before.length;
  }
  return lines.join('\n');
}

/** Place of `wanted` that is nearest to `near`, not before `from`; -1: nowhere. */
function nearest(
  lines: readonly string[],
  wanted: readonly string[],
  from: number,
  near: number,
): number {
  let best = -1;
  for (let at = from; at + wanted.length <= lines.length; at += 1) {
    if (!wanted.every((line, index) => line === lines[at + index])) continue;
    if (best < 0 || Math.abs(at - near) < Math.abs(best - near)) best = at;
  }
  return best;
}
