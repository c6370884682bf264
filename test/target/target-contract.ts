// The contract of `Target`, run against every implementation: the fake, the fake across a session
// in memory and across TLS, both behind a target that resumes, and whatever other target a test
// file brings. What it asserts is what the sender's ladder (RULES.md §1) relies on.
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import type { FrameEntry } from '../../src/format/changeset.js';
import type { Begin, Commit, ReuseItem, Target } from '../../src/target/target.js';
import { putAll, refused } from './calls.js';

/** A legal round from the target's point, made of `frames.length` frames. */
export interface RoundMaterial {
  readonly begin: Begin;
  readonly frames: readonly Uint8Array[];
  readonly commit: Commit;
}

/** What a world that can say more of its target lets it have; null: it cannot. */
export interface TargetStores {
  readonly held: readonly FrameEntry[];
  readonly doubts: readonly number[];
  /** Made of `held`, in that order, the frame that a reuse stages. */
  readonly reused: (items: readonly ReuseItem[]) => Uint8Array;
  readonly indexOf: (frames: readonly Uint8Array[]) => Uint8Array;
  want(chunks: readonly number[]): void;
  readonly chunk: { readonly number: number; readonly bytes: Uint8Array };
}

export interface TargetUnderTest {
  readonly target: Target;
  /** Prepares the target with what the contract then reads. */
  readonly stores?: () => TargetStores;
  /** A new round from the target's present point; ids differ from call to call. */
  round(frames: number): RoundMaterial | Promise<RoundMaterial>;
}

export type MakeTarget = (t: TestContext) => Promise<TargetUnderTest>;

async function run(target: Target, round: RoundMaterial): Promise<void> {
  await target.begin(round.begin);
  await putAll(target, round.frames);
  await target.staged(round.frames.length);
  assert.deepEqual(await target.commit(round.commit), { outcome: 'committed' });
  await target.applied(round.commit.to);
}

export function describeTargetContract(name: string, make: MakeTarget): void {
  const contract = (title: string, body: (world: TargetUnderTest) => Promise<void>): void => {
    test(title, async (t) => {
      const world = await make(t);
      await body(world);
      await world.target.close();
    });
  };

  describe(`target: ${name}`, () => {
    contract('says where it stands', async ({ target, round }) => {
      const { begin } = await round(1);
      assert.deepEqual(target.state.point, begin.from);
      assert.equal(target.state.role, 'secondary');
      assert.ok(target.state.sizeBytes === 0 || target.state.sizeBytes >= begin.sizeBytes);
    });

    contract('a round: begun, staged, committed, applied', async ({ target, round }) => {
      const material = await round(5);
      assert.equal(await target.outcome(material.begin.round), 'none');
      await run(target, material);
      assert.equal(await target.outcome(material.begin.round), 'committed');
    });

    contract('rounds follow each other', async ({ target, round }) => {
      for (let at = 0; at < 3; at += 1) await run(target, await round(1 + at));
    });

    contract('the watermark never goes back and reaches all frames', async ({ target, round }) => {
      const { begin, frames } = await round(8);
      await target.begin(begin);
      let last = await target.staged(0);
      assert.ok(last <= frames.length);
      for (const [at, frame] of frames.entries()) {
        await target.put(at, frame);
        const staged = await target.staged(0);
        assert.ok(staged >= last && staged <= at + 1, `${last}, then ${staged} of ${at + 1}`);
        last = staged;
      }
      assert.equal(await target.staged(frames.length), frames.length);
    });

    contract('a commit asked for twice is answered alike (D4)', async ({ target, round }) => {
      const material = await round(2);
      await run(target, material);
      assert.deepEqual(await target.commit(material.commit), { outcome: 'committed' });
      await run(target, await round(1));
      assert.deepEqual(await target.commit(material.commit), { outcome: 'committed' });
      assert.equal(await target.outcome(material.begin.round), 'committed');
    });

    contract('a round from another point is refused', async ({ target, round }) => {
      const { begin } = await round(1);
      const elsewhere = { id: seededRandom(4).bytes(16), number: 1, timeMs: 1 };
      await assert.rejects(target.begin({ ...begin, from: elsewhere }), refused('wrong-from'));
    });

    contract('a commit with another index is refused and none', async ({ target, round }) => {
      const { begin, frames, commit } = await round(3);
      await target.begin(begin);
      await putAll(target, frames);
      await target.staged(3);
      const answer = await target.commit({ ...commit, indexDigest: new Uint8Array(32) });
      assert.equal(answer.outcome, 'refused');
      assert.equal(await target.outcome(begin.round), 'none');
    });

    contract('a commit with a frame missing is refused', async ({ target, round }) => {
      const { begin, frames, commit } = await round(3);
      await target.begin(begin);
      await putAll(target, frames.slice(0, 2));
      await target.staged(2);
      assert.equal((await target.commit(commit)).outcome, 'refused');
      assert.equal(await target.outcome(begin.round), 'none');
    });

    contract('frames out of order never become a point', async ({ target, round }) => {
      const { begin, frames, commit } = await round(3);
      const [first, second, third] = frames;
      assert.ok(first && second && third);
      await target.begin(begin);
      await assert.rejects(async () => {
        await target.put(0, first);
        await target.put(2, third);
        await target.put(1, second);
        await target.staged(3);
      }, refused('bad-frame'));
      assert.equal((await target.commit(commit)).outcome, 'refused');
      assert.equal(await target.outcome(begin.round), 'none');
      await run(target, await round(2));
    });

    contract('a second begin drops the first', async ({ target, round }) => {
      const [one, two] = [await round(2), await round(3)];
      await target.begin(one.begin);
      await putAll(target, one.frames);
      await run(target, two);
      assert.equal((await target.commit(one.commit)).outcome, 'refused');
      assert.equal(await target.outcome(one.begin.round), 'none');
    });

    contract('an abandoned round is never committed', async ({ target, round }) => {
      const { begin, frames, commit } = await round(2);
      await target.begin(begin);
      await putAll(target, frames);
      await target.staged(2);
      await target.abandon(begin.round);
      assert.equal((await target.commit(commit)).outcome, 'refused');
      assert.equal(await target.outcome(begin.round), 'none');
      await run(target, await round(1));
    });

    contract('digests name the point they are true for', async ({ target, round }) => {
      const before = await target.digests(0, 3, 'table');
      assert.deepEqual(before.at, target.state.point);
      assert.deepEqual([before.first, before.digests.length], [0, 48]);
      const material = await round(1);
      await run(target, material);
      const after = await target.digests(1, 2, 'disk');
      assert.deepEqual(after.at, material.commit.to);
      assert.deepEqual([after.first, after.digests.length], [1, 32]);
    });

    contract('a round begun again goes on at the watermark', async ({ target, round }) => {
      const { begin, frames, commit } = await round(4);
      await target.begin(begin);
      await putAll(target, frames.slice(0, 2));
      await target.staged(2);
      await target.begin({ ...begin, resumeAt: 2 });
      assert.equal(await target.staged(0), 2);
      await putAll(target, frames.slice(2), 2);
      await target.staged(4);
      assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
    });

    contract('a round it knows nothing of cannot be gone on with', async ({ target, round }) => {
      const { begin } = await round(2);
      await assert.rejects(target.begin({ ...begin, resumeAt: 1 }), refused('gone'));
      await run(target, await round(1));
    });

    contract('what is held is named, and made into frames', async ({ target, round, stores }) => {
      if (!stores) return;
      const { held, reused, indexOf } = stores();
      const [one, two] = held;
      assert.ok(one && two && held.length >= 3);
      const { begin, frames, commit } = await round(1);
      await target.begin(begin);
      assert.deepEqual(await target.held(0, 100_000), held);
      assert.deepEqual(await target.held(one.chunk + 1, two.chunk - one.chunk), [two]);
      assert.deepEqual(await target.held(one.chunk + 1, 1), []);
      const [frame] = frames;
      assert.ok(frame);
      await target.reuse(0, [two, one]);
      await target.put(1, frame);
      await target.reuse(2, held);
      assert.equal(await target.staged(3), 3);
      const indexDigest = indexOf([reused([two, one]), frame, reused(held)]);
      const answer = await target.commit({ ...commit, frames: 3, indexDigest });
      assert.deepEqual(answer, { outcome: 'committed' });
    });

    contract('what is not held cannot be reused', async ({ target, round, stores }) => {
      if (!stores) return;
      const [one] = stores().held;
      assert.ok(one);
      await target.begin((await round(1)).begin);
      const wrong = { chunk: one.chunk, digest: new Uint8Array(16) };
      await assert.rejects(async () => {
        await target.reuse(0, [wrong]);
        await target.staged(1);
      }, refused('bad-frame'));
    });

    contract('doubts are named in parts, to the end', async ({ target, stores }) => {
      if (!stores) return;
      const { doubts } = stores();
      const seen: number[] = [];
      for (let first = 0, done = false; !done; ) {
        const { chunks, complete } = await target.doubts(first);
        assert.ok(complete || chunks.length > 0);
        seen.push(...chunks);
        first = (chunks.at(-1) ?? 0) + 1;
        done = complete;
      }
      assert.deepEqual(seen, doubts);
      assert.deepEqual(await target.doubts(0xffff_ffff), { chunks: [], complete: true });
    });

    contract(
      'chunks wanted are told once, before the commit',
      async ({ target, round, stores }) => {
        if (!stores) return;
        const { want } = stores();
        const { begin, frames } = await round(2);
        await target.begin(begin);
        assert.deepEqual(target.takeWanted(), []);
        want([9, 4, 77]);
        await putAll(target, frames);
        await target.staged(2);
        // A question that is answered came behind it.
        await target.outcome(begin.round);
        assert.deepEqual(target.takeWanted(), [9, 4, 77]);
        assert.deepEqual(target.takeWanted(), []);
      },
    );

    contract('a chunk is had as of its point or not at all', async ({ target, stores }) => {
      const { point } = target.state;
      if (!stores || !point) return;
      const { number, bytes } = stores().chunk;
      assert.deepEqual(new Uint8Array((await target.chunk(number, point)) ?? []), bytes);
      assert.equal(await target.chunk(number + 1, point), null);
      const elsewhere = { ...point, id: seededRandom(5).bytes(16) };
      assert.equal(await target.chunk(number, elsewhere), null);
    });

    contract('it can be closed twice, and counts bytes', async ({ target, round }) => {
      await run(target, await round(2));
      const { up, down } = target.wireBytes();
      assert.ok(up >= 0 && down >= 0 && Number.isInteger(up + down));
      await target.close();
      await target.close();
    });
  });
}
