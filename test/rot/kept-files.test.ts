// The table of kept files is whole: no scene leaves a file without a row, and hastd(8) has each of
// them in FILES and in the table of what to do.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { limited } from '../crash/limit.js';
import { KEPT_FILES, PLAIN_FILES } from './kept-files.js';
import { keptBy, SCENES, scene } from './scenes.js';

const LIMIT = limited(60_000);
const page = readFileSync(join(import.meta.dirname, '../../../man/hastd.8'), 'utf8');

test('every file of every scene has a row', LIMIT, async () => {
  const seen = new Set<string>();
  for (const name of SCENES) {
    const { pair } = await scene(name, 61);
    for (const end of ['primary', 'replica'] as const) {
      for (const file of await keptBy(pair, end)) {
        const row = KEPT_FILES.find((kept) => kept.end === end && kept.file.test(file));
        assert.ok(row, `${file} of a ${end} in "${name}" has no row`);
        seen.add(row.name);
      }
    }
  }
  const unseen = KEPT_FILES.filter((kept) => !seen.has(kept.name));
  assert.deepEqual(unseen, [], 'no row is of a file that nobody keeps');
});

test('hastd(8) says what to do about each', () => {
  const from = page.indexOf('.Ss Damaged files');
  assert.ok(from > 0, 'there is such a section');
  const section = page.slice(from, page.indexOf('\n.S', from + 4));
  for (const { name } of [...KEPT_FILES, ...PLAIN_FILES]) {
    const [word = ''] = name.split(' ');
    assert.ok(section.includes(word), `hastd(8), Damaged files: ${word}`);
  }
});
