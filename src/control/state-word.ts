// One word for the operator, derived from the axes of a target (DESIGN.md §5). Pure.
// The words are chosen so that none can be read as "the replica is up to date": `clean` says only
// that nothing is dirty, HAST's "complete" is not used at all. hastctl(8) prints RULES as a table,
// and a test compares the page with this function over all combinations.
import type { DataState, LinkState, Role, TargetStatus, WorkState } from './api.js';

/** From best to worst: the word of a resource is the worst of its targets'. */
export const WORDS_BEST_FIRST = [
  'init',
  'unreplicated',
  'clean',
  'waiting',
  'applying',
  'staged',
  'sending',
  'settling',
  'dirty',
  'initialising',
  'paused',
  'unreachable',
  'suspect',
  'diverged',
  'failed',
] as const;

export type StateWord = (typeof WORDS_BEST_FIRST)[number];

/** What the word is derived from; `role` is the resource's on this node. */
export interface Axes {
  readonly role: Role;
  readonly link: LinkState;
  readonly work: WorkState;
  readonly data: DataState;
}

/** A word and the values that an axis must have; an absent axis may have any. */
export interface WordRule extends Partial<Axes> {
  readonly word: StateWord;
}

/** The first rule whose values all hold gives the word; the last one always holds. */
export const RULES: readonly WordRule[] = [
  { word: 'init', role: 'init' },
  { word: 'diverged', data: 'diverged' },
  { word: 'suspect', data: 'suspect' },
  { word: 'paused', work: 'paused' },
  { word: 'unreachable', link: 'down' },
  { word: 'initialising', data: 'initialising' },
  { word: 'settling', work: 'settling' },
  { word: 'sending', work: 'sending' },
  { word: 'staged', work: 'staged' },
  { word: 'applying', work: 'applying' },
  { word: 'dirty', data: 'dirty' },
  // A secondary cannot know whether its primary has written: it has no `clean`.
  { word: 'waiting', role: 'secondary' },
  { word: 'clean' },
];

/** The word of one target. */
export function stateWord(axes: Axes): StateWord {
  const rule = RULES.find(
    (candidate) =>
      (candidate.role ?? axes.role) === axes.role &&
      (candidate.link ?? axes.link) === axes.link &&
      (candidate.work ?? axes.work) === axes.work &&
      (candidate.data ?? axes.data) === axes.data,
  );
  return rule?.word ?? 'clean';
}

const isWord = (text: string): text is StateWord =>
  (WORDS_BEST_FIRST as readonly string[]).includes(text);

/** The worst of some words; `unreplicated` when there are none (`remote none`). */
export function worst(words: readonly StateWord[]): StateWord {
  const rank = Math.max(-1, ...words.map((word) => WORDS_BEST_FIRST.indexOf(word)));
  return WORDS_BEST_FIRST[rank] ?? 'unreplicated';
}

/**
 * The word of a resource: `failed` when it has an error of its own (disk, export), `init` without
 * a role, else the worst of its targets. A word this version does not know counts as `failed`.
 */
export function resourceWord(
  role: Role,
  error: string | null,
  targets: readonly Pick<TargetStatus, 'state'>[],
): StateWord {
  if (error !== null) return 'failed';
  if (role === 'init') return 'init';
  return worst(targets.map((target) => (isWord(target.state) ? target.state : 'failed')));
}
