// The engine has teeth: mistakes that were planted are found, made small, and repeated by their
// seed. A fuzzer that finds nothing must be one that could.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { scratch } from '../real.js';
import { CORPUS } from './corpus.js';
import { Coverage } from './coverage.js';
import { BrokenDemand, fuzz } from './engine.js';
import { mutateJson } from './json.js';
import { mutated } from './mutate.js';
import { allocates, crashes, hides } from './planted.js';
import { oneBitOff, type Target } from './target.js';
import { Watchdog } from './watchdog.js';

const BUDGET = { runs: 20_000, ms: Number.POSITIVE_INFINITY };
const PLANTED = join(import.meta.dirname, 'planted.js');
const watchdog = new Watchdog(CORPUS, 30_000);
after(() => watchdog.close());

const found = (target: Target, seed: number) =>
  fuzz(target, [], seed, BUDGET, { watchdog, coverage: null });

test('coverage leads to what luck does not find', async () => {
  // Counting begins while the code is cold.
  const coverage = new Coverage((url) => url.endsWith('planted.js'));
  let runs = 0;
  try {
    const led = await fuzz(hides, [], 5, BUDGET, { watchdog, coverage });
    runs = led.runs;
    assert.equal(String(led.failure?.error), 'TypeError: found');
    assert.ok(led.found.length >= 3, 'each bit was a step');
  } finally {
    coverage.close();
  }
  const lucky = await fuzz(hides, [], 5, { ...BUDGET, runs }, { watchdog, coverage: null });
  assert.equal(lucky.failure, null, 'not by luck');
});

test('a length that is trusted is found, made small, and the seed repeats it', async () => {
  const [first, again] = [await found(crashes, 7), await found(crashes, 7)];
  assert.ok(first.failure?.error instanceof RangeError, String(first.failure?.error));
  assert.equal(again.runs, first.runs);
  assert.deepEqual(again.failure?.input, first.failure.input);
  assert.equal(first.failure.input.length, 5, 'magic and length, no more');
});

test('an allocation above the limit is found', async () => {
  const { failure } = await found(allocates, 7);
  assert.ok(failure?.error instanceof BrokenDemand);
  assert.match(String(failure.error), /at once/);
});

test('what is thrown when nobody listens any more is found', (t) => {
  const { stdout, status } = spawnSync(process.execPath, [PLANTED, 'late', scratch(t)]);
  assert.equal(status, 0);
  assert.match(String(stdout), /TypeError: thrown too late/);
});

for (const kind of ['hang', 'waits']) {
  test(`${kind}: what never comes back is killed and leaves its input`, (t) => {
    const folder = scratch(t);
    const { stderr, signal } = spawnSync(process.execPath, [PLANTED, kind, folder]);
    assert.equal(signal, 'SIGKILL');
    assert.match(String(stderr), /hangs for more than/);
    const [file = ''] = readdirSync(join(folder, kind));
    assert.equal(readFileSync(join(folder, kind, file), 'utf8'), 'Hello');
  });
}

test('changes follow from the seed, keep to the length, and reach every kind of JSON', () => {
  const material = { kind: 'bytes', words: [], others: [], bytesMax: 100 } as const;
  const input = Buffer.from('some bytes to change');
  const run = (seed: number) => {
    const random = seededRandom(seed);
    return Array.from({ length: 200 }, () => mutated(input, material, random));
  };
  assert.deepEqual(run(1), run(1));
  assert.notDeepEqual(run(1), run(2));
  assert.ok(run(1).every((bytes) => bytes.length <= 100));
  assert.equal(input.toString(), 'some bytes to change', 'the input stays');
  const random = seededRandom(5);
  const json = Buffer.from('first line\n{"a":[1,{"b":"x"}],"c":null}\n');
  const texts = Array.from({ length: 500 }, () => String(mutateJson(json, ['b'], random)));
  assert.ok(texts.every((text) => text.startsWith('first line\n')));
  for (const sign of ['__proto__', '[[[[[', '9007199254740992', '\\ud800']) {
    assert.ok(
      texts.some((text) => text.includes(sign)),
      sign,
    );
  }
});

test('one bit is off, and only within the range', () => {
  const bytes = new Uint8Array(8);
  const off = oneBitOff(bytes, 2, 4);
  const changed = [...off].flatMap((byte, at) => (byte === 0 ? [] : [at]));
  assert.equal(changed.length, 1);
  assert.ok(changed.every((at) => at === 2 || at === 3));
});
