// Bit rot in what a replica keeps: a thousand damages of each file are named, or do no harm, and
// what follows keeps every promise.
import { test } from 'node:test';
import { limited } from '../crash/limit.js';
import { KEPT_FILES } from './kept-files.js';
import { damageAll } from './trial.js';

const LIMIT = limited(600_000);

for (const kept of KEPT_FILES.filter(({ end }) => end === 'replica')) {
  test(`rot in ${kept.name}`, LIMIT, async (t) => {
    await damageAll(t, kept);
  });
}
