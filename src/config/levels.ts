// Inheritance: of the scopes that set something, the innermost counts. A value that was reported as
// wrong is replaced by its default, so that the rest is still checked.
import { present } from '../base/assert.js';
import { keywordOf } from './keywords.js';
import { lastOf, type Statement } from './tree.js';

/** Scopes from the innermost out, each with its statements in file order. */
export type Levels = readonly (readonly Statement[])[];

/** An effective value; `statement` is null for a default, `text` null where there is none. */
export interface Picked {
  readonly text: string | null;
  readonly statement: Statement | null;
}

/** The value of `name` in the innermost scope that sets it, else its default. */
export function pick(levels: Levels, name: string): Picked {
  const keyword = present(keywordOf(name), `${name} is in the table`);
  for (const level of levels) {
    const statement = lastOf(level, name);
    if (statement !== null) return { text: statement.text ?? keyword.default, statement };
  }
  return { text: keyword.default, statement: null };
}

/** The innermost of `schedule` and `interval`, whichever it is; the default is an interval. */
export function pickSchedule(levels: Levels): Picked & { readonly kind: 'cron' | 'interval' } {
  for (const level of levels) {
    const cron = lastOf(level, 'schedule');
    const interval = lastOf(level, 'interval');
    if (cron?.text != null && interval === null) {
      return { kind: 'cron', text: cron.text, statement: cron };
    }
    if (cron !== null || interval !== null)
      return { kind: 'interval', ...pick([level], 'interval') };
  }
  return { kind: 'interval', ...pick([], 'interval') };
}

/** The value of a setting that always has one. */
export const pickText = (levels: Levels, name: string): string =>
  present(pick(levels, name).text, `${name} has a default`);
