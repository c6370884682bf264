// Staged files that cannot be read or made. A leftover on a bad medium fails no round (D3, H31):
// what cannot be read of it is sent again. A round that cannot be staged says what failed, and only
// want of space costs the leftovers (H29).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { AssertionError } from '../../src/base/assert.js';
import { codeOf } from '../../src/base/errors.js';
import type { Files } from '../../src/base/files.js';
import { CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { newCounts } from '../../src/round/parts.js';
import { failed } from '../world/story.js';
import { BadMedium, type BadPlace } from './bad-medium.js';
import { same } from './checks.js';
import { beginOf, coded, cutAt, large, ready, refusedAs, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import type { Knobs } from './nodes.js';
import type { Pair } from './pair.js';

const LIMIT = limited(20_000);

/** A round that was broken off with two frames staged, and a session after it. */
async function withLeftover(seed: number, replicaFiles: Knobs['replicaFiles']): Promise<Pair> {
  const pair = await ready(seed, replicaFiles ? { replicaFiles } : {}, large);
  for (let chunk = 0; chunk < large.sizeBytes / CHUNK_BYTES; chunk += 1) {
    await pair.primaryNode.disk.write(chunk * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, chunk + 1));
  }
  cutAt(pair, 'put', 2);
  await assert.rejects(pair.round(), coded('TARGET_LOST'));
  pair.during = null;
  await turn();
  pair.connect();
  await pair.contact();
  return pair;
}

const LEFTOVERS: readonly [string, Omit<BadPlace, 'name'>, number][] = [
  ['its second frame', { errno: 'EIO', from: MIB + MIB / 2 }, MIB],
  ['its first frame', { errno: 'EIO', from: 1000 }, 0],
  ['its header', { errno: 'EIO' }, 0],
  ['its inode', { errno: 'EIO', open: true, from: Number.MAX_VALUE }, 0],
];

for (const [what, place, reusedBytes] of LEFTOVERS) {
  test(`a bad medium under ${what} of a leftover: the round is committed`, LIMIT, async () => {
    const medium = new BadMedium();
    const pair = await withLeftover(1, medium.files);
    const [name] = await stateFiles(pair, 'stage-');
    assert.ok(name, 'something is staged');
    medium.places.push({ ...place, name });
    const counts = newCounts('round');
    await pair.wholeRound(counts);
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round');
    assert.equal(counts.reusedBytes, reusedBytes, 'what stands before the bad place is taken over');
  });
}

test('a leftover that goes bad after it was looked through is sent again', LIMIT, async () => {
  const medium = new BadMedium();
  const pair = await withLeftover(2, medium.files);
  const [name] = await stateFiles(pair, 'stage-');
  assert.ok(name, 'something is staged');
  await pair.target.begin(beginOf(pair));
  const held = await pair.target.held(0, 64);
  assert.ok(held.length > 0, 'it can be taken over');
  await pair.target.abandon(beginOf(pair).round);
  await pair.target.begin(beginOf(pair));
  await pair.target.held(60, 1);
  medium.places.push({ name, errno: 'EIO' });
  const items = held.slice(0, 1).map(({ chunk, digest }) => ({ chunk, digest }));
  await assert.rejects(pair.target.reuse(0, items), refusedAs('gone'));
});

test('another error is none of the medium: the round fails and says so', LIMIT, async () => {
  const medium = new BadMedium();
  const pair = await withLeftover(3, medium.files);
  const [name] = await stateFiles(pair, 'stage-');
  medium.places.push({ name: name ?? '', errno: 'ENOMEM', from: 1000 });
  await assert.rejects(pair.round(), coded('FILE_FAILED'));
  assert.ok((await stateFiles(pair, 'stage-')).includes(name ?? ''), 'it is still there');
});

/** Files of which some new stage cannot be made, as long as `error` gives one. */
const failingStages =
  (error: () => Error | null) =>
  (real: Files): Files =>
    new Proxy(real, {
      get(files, name) {
        const value: unknown = Reflect.get(files, name, files);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          const isNew = name === 'open' && args[1] === 'truncate';
          const failure = isNew && String(args[0]).includes('/stage-') ? error() : null;
          return failure ? Promise.reject(failure) : (value.apply(files, args) as unknown);
        };
      },
    });

for (const make of [
  () => failed('open', '/state/vm1/stage-x', 'EACCES'),
  () => failed('open', '/state/vm1/stage-x', 'EMFILE'),
  () => new AssertionError('assertion failed: our own mistake'),
]) {
  const { message } = make();
  test(
    `a stage that cannot be made (${message}): said as it is, leftovers stay`,
    LIMIT,
    async () => {
      let error: Error | null = null;
      let asked = 0;
      const pair = await withLeftover(
        4,
        failingStages(() => {
          asked += 1;
          return error;
        }),
      );
      const before = await stateFiles(pair, 'stage-');
      error = make();
      asked = 0;
      const caught = await pair.target.begin(beginOf(pair)).catch((found: unknown) => found);
      assert.equal(caught, error, 'neither a refusal nor want of space');
      assert.equal(asked, 1, 'not tried again: nothing has changed');
      assert.deepEqual(await stateFiles(pair, 'stage-'), before, 'what is staged is not its cause');
      error = null;
      const counts = newCounts('round');
      await pair.wholeRound(counts);
      assert.equal(counts.reusedBytes, 2 * MIB);
    },
  );
}

for (const errno of ['ENOSPC', 'EDQUOT']) {
  test(
    `${errno}: leftovers make room, and then the round is refused with numbers`,
    LIMIT,
    async () => {
      let left = 0;
      const noSpace = () => {
        left -= 1;
        return left >= 0 ? failed('reserve', '/state/vm1/stage-x', errno) : null;
      };
      const pair = await withLeftover(5, failingStages(noSpace));
      left = 1;
      const begin = beginOf(pair, { spaceBytes: 4 * MIB });
      await pair.target.begin(begin);
      assert.equal((await stateFiles(pair, 'stage-')).length, 1, 'the new one alone');
      left = 2;
      const next = beginOf(pair, { spaceBytes: 4 * MIB });
      const text = new RegExp(`may need 4\\.0 MiB .*${errno}`);
      await assert.rejects(pair.target.begin(next), (caught) => {
        assert.equal(codeOf(caught), 'TARGET_REFUSED');
        return refusedAs('no-space', text)(caught);
      });
    },
  );
}
