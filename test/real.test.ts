// What tests of real parts need is what `.ci/run` installs: there a missing tool is a failure, and
// nobody sees that it was only never asked for.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sourcesIn, top } from './tidy/source.js';

/** Of packages that every Debian has, or that `.ci/run` installs for another tool of theirs. */
const WITH_OTHERS = new Set([
  ...['sh', 'git', 'flock', 'unshare', 'fstrim'],
  ...['mount', 'umount', 'e2fsck', 'debugfs', 'python3-libnbd'],
]);

const quoted = (text: string): string[] =>
  [...text.matchAll(/'([^']+)'/g)].map(([, word = '']) => word);

test('every tool that a test needs is installed by .ci/run', () => {
  const text = readFileSync(join(top, '.ci/run'), 'utf8');
  const list = /^tools='\n([^']*)'$/m.exec(text)?.[1] ?? '';
  const installed = new Set(list.split(/\s+/).map((pair) => pair.split(':')[0] ?? ''));
  assert.ok(installed.has('qemu-io'), 'the list was found');
  const sources = sourcesIn('test', '.ts');
  const lists = new Map(
    sources.flatMap(({ code }) =>
      [...code.matchAll(/\bconst (\w+) = \[([^\]]*)\]/g)].map(
        ([, name = '', words = '']) => [name, quoted(words)] as const,
      ),
    ),
  );
  const missing = sources.flatMap(({ path, code }) =>
    [...code.matchAll(/\bneedTool\(\w+,\s*([^)]*)\)/g)].flatMap(([, words = '']) => {
      const spread = [...words.matchAll(/\.\.\.(\w+)/g)].flatMap(([, name = '']) => {
        return lists.get(name) ?? [];
      });
      return [...quoted(words), ...spread]
        .filter((tool) => !installed.has(tool) && !WITH_OTHERS.has(tool) && !tool.startsWith('$'))
        .map((tool) => `${path}: ${tool}`);
    }),
  );
  assert.deepEqual(missing, []);
});
