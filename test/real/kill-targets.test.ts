// kill -9 over two targets (kill-story.ts): with the intent map in the page cache, and on the disk.
import { test } from 'node:test';
import { FEWER_KILLS, HALF_KILLS, killsAndPromotion } from './kill-story.js';

for (const [metaflush, kills] of [
  ['on', HALF_KILLS],
  ['off', FEWER_KILLS],
] as const) {
  test(`${kills} times kill -9 over two targets, then a promotion; metaflush ${metaflush}`, (t) =>
    killsAndPromotion(t, { targets: 2, metaflush }, { kills }));
}
