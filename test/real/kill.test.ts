// kill -9 over a pair (kill-story.ts): with the intent map in the page cache, and on the disk.
import { test } from 'node:test';
import { KILLS, killsAndPromotion } from './kill-story.js';

for (const metaflush of ['off', 'on'] as const) {
  test(`${KILLS} times kill -9 over a pair, then a promotion; metaflush ${metaflush}`, (t) =>
    killsAndPromotion(t, { targets: 1, metaflush }));
}
