// What is damaged in an archive, in the words that every check of one uses.
import { codeOf } from '../base/errors.js';

/** Something that is not as it should be, and the points that need it. */
export interface DamagedPart {
  /** Object, or object and offset. */
  readonly place: string;
  readonly why: string;
  /** Numbers, newest first. */
  readonly points: readonly number[];
}

/** What says that something is not as it was written; all else may pass. */
const DAMAGE: ReadonlySet<string | null> = new Set([
  ...['FORMAT_BAD', 'FORMAT_VERSION', 'STORE_MISSING', 'STORE_SHORT', 'STORE_TOO_LARGE'],
]);
export const isDamage = (error: unknown): boolean => DAMAGE.has(codeOf(error));

/** The same of several points is one. */
export function joined(parts: readonly DamagedPart[]): readonly DamagedPart[] {
  const all = new Map<string, DamagedPart>();
  for (const part of parts) {
    const id = `${part.place} ${part.why}`;
    const known = all.get(id);
    const points = [...new Set([...(known?.points ?? []), ...part.points])];
    all.set(id, { ...part, points });
  }
  return [...all.values()];
}
