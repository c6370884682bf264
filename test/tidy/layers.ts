// What the guard of style knows as data: rows of layers (DESIGN.md §7), and every exception with
// its reason. An exception is an agreement: its reason is one that a stranger accepts.

/** Rows from the bottom; a folder imports itself and lower rows. */
export const ROWS: readonly (readonly string[])[] = [
  ['base'],
  ['format', 'config', 'schedule', 'lineage', 'retention'],
  ['disk', 'net', 'store'],
  ['tracking', 'peer', 'nbd', 'control', 'archive'],
  ['volume', 'target', 'history'],
  ['round', 'receive', 'restore', 'care'],
  ['daemon', 'cli'],
  ['hastd.cts', 'hastctl.ts'],
];

/** Imports within a row: types only. */
export const TYPE_ONLY: readonly { from: string; to: string; reason: string }[] = [
  { from: 'format', to: 'lineage', reason: 'files carry points and epochs; lineage knows no file' },
  { from: 'config', to: 'retention', reason: 'a setting is a rule of retention' },
  { from: 'retention', to: 'lineage', reason: 'what is kept is chosen among points' },
];

/** Folders that run under the simulator: only promises and what is handed in (DESIGN.md §5). */
export const SIMULATED = [
  ...['volume', 'round', 'receive', 'tracking', 'history', 'peer', 'target', 'lineage', 'format'],
  ...['care', 'archive', 'retention'],
];

/** Ways past the simulator's clock and disks, as they look in a source text. */
export const UNSIMULATED: readonly RegExp[] = [
  /from 'node:timers(\/promises)?'/,
  /from 'node:stream(\/\w+)?'/,
  /from 'node:fs(\/promises)?'/,
  /\bAbortSignal\.timeout\b/,
  /\bsetImmediate\b/,
];

/** Time and chance belong to src/base. `Date.parse` and `Date.UTC` read no clock. */
const WORDS = 'Math\\.random|setTimeout|setInterval|setImmediate|performance';
export const WORLDLY = new RegExp(`(?<![.\\w#])(Date(?!\\.(parse|UTC)\\b)|${WORDS})\\b`);

/** Files outside src/base that touch time themselves. */
export const WORLDLY_ALLOWED: readonly { file: string; word: string; reason: string }[] = [
  {
    file: 'src/nbd/transmission.ts',
    word: 'setImmediate',
    reason: 'a data thread takes one turn of its loop between parts of a request (H13)',
  },
  {
    file: 'src/daemon/scheduler.ts',
    word: 'Date',
    reason: 'node-schedule takes the time of a one-shot job as a Date',
  },
];
