// kill -9 over a pair (kill-story.ts): with the intent map in the page cache, and on the disk.
import { test } from 'node:test';
import { FEWER_KILLS, KILLS, killsAndPromotion } from './kill-story.js';

for (const [metaflush, kills] of [
  ['off', KILLS],
  ['on', FEWER_KILLS],
] as const) {
  test(`${kills} times kill -9 over a pair, then a promotion; metaflush ${metaflush}`, (t) =>
    killsAndPromotion(t, { targets: 1, metaflush }, { kills }));
}
