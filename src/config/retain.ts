// The value of `retain`: a number, which means the last so many, or pairs such as
// `last 24 hourly 48 daily 14 weekly 8 monthly 12`. What it means is src/retention/keep.ts. Pure.
import type { RetainRule } from '../retention/keep.js';

type Part = keyof RetainRule;
const PARTS: readonly Part[] = ['last', 'hourly', 'daily', 'weekly', 'monthly'];
/** Points that one rule may keep; an archive names 4096, pinned ones among them. */
const POINTS_MAX = 3072;
const NOTHING: RetainRule = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0 };

export const isRetainPart = (word: string): word is Part => PARTS.some((part) => part === word);

export const retainLast = (last: number): RetainRule => ({ ...NOTHING, last });

/** Reads a rule; what is wrong with it, and what to write, as a string. */
export function retainOf(text: string): RetainRule | string {
  const words = text.trim().split(/\s+/);
  const [only = ''] = words;
  if (words.length === 1 && /^\d{1,9}$/.test(only)) return checked(retainLast(Number(only)));
  if (words.length % 2 !== 0) return 'it is a number, or pairs such as last 24 daily 14';
  const rule: Record<Part, number> = { ...NOTHING };
  for (let at = 0; at < words.length; at += 2) {
    const [part = '', count = ''] = words.slice(at, at + 2);
    if (!isRetainPart(part)) return `${part} is none of ${PARTS.join(', ')}`;
    if (!/^\d{1,9}$/.test(count)) return `${part} is followed by a number, not by ${count}`;
    if (rule[part] !== 0) return `${part} is there twice`;
    rule[part] = Number(count);
  }
  return checked(rule);
}

/** As it would be written. */
export const retainText = (rule: RetainRule): string =>
  isLastOnly(rule)
    ? String(rule.last)
    : PARTS.filter((part) => rule[part] > 0)
        .map((part) => `${part} ${rule[part]}`)
        .join(' ');

/** It keeps the newest points and nothing else. */
export const isLastOnly = (rule: RetainRule): boolean =>
  PARTS.every((part) => part === 'last' || rule[part] === 0);

function checked(rule: RetainRule): RetainRule | string {
  const sum = PARTS.reduce((all, part) => all + rule[part], 0);
  if (sum === 0) return 'it keeps nothing; write retain 24, or pairs such as last 24 daily 14';
  return sum > POINTS_MAX ? `it may keep ${sum} points; ${POINTS_MAX} are the most` : rule;
}
