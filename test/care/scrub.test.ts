// The background pass: it finds every chunk that changed without a mark, and never takes a guest's
// write for one, whatever happens at whichever moment: writes, cuts, commits, failed rounds,
// checkpoints. Mutants that leave out one of its conditions are caught by the same walk.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { Mutex } from '../../src/base/sync.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { type ScrubParts, scrubStep } from '../../src/care/scrub.js';
import { CHUNKS, MOMENTS, type Moment, type ScrubRig, SIZE_BYTES, scrubRig } from './scrub-rig.js';

const seed = Number(process.env['HAST_SEED'] ?? 20_261_121);
const never = new AbortController().signal;
const pass = (rig: ScrubRig, parts: ScrubParts = rig.parts) => scrubStep(parts, 0, CHUNKS, never);

/** Changes a byte of the medium without the guest. */
function rot(rig: ScrubRig, chunk: number): void {
  const at = chunk * CHUNK_BYTES + 700;
  const byte = new Uint8Array(1);
  assert.ok(rig.memory.readCached(at, byte));
  rig.memory.writeNow(at, byte.fill((byte[0] ?? 0) ^ 0x40));
}

test('a clean disk agrees; holes are not read', async () => {
  const rig = await scrubRig(2);
  const step = await pass(rig);
  const none = { untracked: [], unreadable: [] };
  const readBytes = (CHUNKS - 2) * CHUNK_BYTES;
  assert.deepEqual(step, { next: CHUNKS, comparedChunks: CHUNKS, readBytes, ...none });
  assert.equal(rig.memory.counts.readMedium, CHUNKS - 2, 'once for both targets');
});

test('a change without a mark is found, marked whole, told; once', async () => {
  const rig = await scrubRig();
  rot(rig, 3);
  rig.memory.writeNow(7 * CHUNK_BYTES, new Uint8Array(512).fill(9)); // what was a hole
  rig.memory.punchNow(2 * CHUNK_BYTES, CHUNK_BYTES); // and what is one now
  rot(rig, CHUNKS - 1); // the short last one
  const step = await pass(rig);
  const chunks = [2, 3, 7, CHUNKS - 1];
  assert.deepEqual(
    step.untracked,
    chunks.map((chunk) => ({ slot: 0, chunk })),
  );
  const pending = rig.volume.pending(0);
  assert.deepEqual(
    chunks.map((chunk) => pending.chunkMask(chunk)),
    [0xffff, 0xffff, 0xffff, 0b11],
  );
  assert.equal(pending.count().chunks, 4);
  const offsets = chunks.map((chunk) => ({ target: 't0', offset: chunk * CHUNK_BYTES }));
  assert.deepEqual(rig.warnings, offsets);
  const again = await pass(rig);
  assert.deepEqual(again.untracked, []);
  assert.equal(again.comparedChunks, CHUNKS - 4, 'they are dirty now');
  const [target] = rig.targets;
  await target?.begin();
  await target?.commit();
  assert.equal((await pass(rig)).comparedChunks, CHUNKS, 'and clean again after a round');
});

test('each target has its own table, trust and marks', async () => {
  const rig = await scrubRig(3);
  const [first, second, third] = rig.targets;
  assert.ok(first && second && third);
  rot(rig, 1);
  await second.fill(); // its round has sent the change
  third.proposed = true;
  second.table.digests.delete(4);
  first.table.digests.delete(4);
  const step = await pass(rig);
  assert.deepEqual(step.untracked, [{ slot: 0, chunk: 1 }]);
  assert.equal(step.comparedChunks, CHUNKS - 1, 'chunk 4 is unknown to all who are trusted');
  assert.equal(rig.volume.pending(1).count().chunks, 0);
  third.proposed = false;
  assert.deepEqual((await pass(rig)).untracked, [{ slot: 2, chunk: 1 }]);
});

test('dirty chunks are neither read nor compared', async () => {
  const rig = await scrubRig();
  rot(rig, 0);
  rot(rig, 5);
  await rig.guest.write(10, new Uint8Array(3)); // marks chunk 0 in the live map
  rig.volume.pending(0).mark(5 * 16 + 3, 5 * 16 + 3);
  const step = await pass(rig);
  assert.deepEqual(step.untracked, []);
  assert.equal(step.comparedChunks, CHUNKS - 2);
  assert.equal(rig.memory.counts.readMedium, CHUNKS - 4);
});

test('nobody trusted, a suspect volume: nothing is said, nothing is read', async () => {
  const rig = await scrubRig();
  const [target] = rig.targets;
  assert.ok(target);
  rot(rig, 1);
  const nothing = { next: 0, comparedChunks: 0, readBytes: 0, untracked: [], unreadable: [] };
  target.proposed = true;
  assert.deepEqual(await pass(rig), nothing);
  target.proposed = false;
  target.table.point = null;
  assert.deepEqual(await pass(rig), nothing);
  await target.fill();
  rig.volume.setSuspect();
  assert.deepEqual(await pass(rig), nothing);
  assert.deepEqual(await scrubStep({ ...rig.parts, targets: [] }, 3, 2, never), {
    ...nothing,
    next: 3,
  });
  assert.equal(rig.memory.counts.readMedium, 0);
});

test('unreadable chunks are returned, the others compared', async () => {
  const rig = await scrubRig();
  rot(rig, 3);
  rig.memory.fail('read', 'EIO', 2 * CHUNK_BYTES + 4096, 2 * CHUNK_BYTES + 8192);
  const step = await pass(rig);
  assert.deepEqual(
    step.unreadable.map(({ chunk }) => chunk),
    [2],
  );
  const fault = { code: 'DISK_FAILED', operation: 'read', path: 'memory', errno: 'EIO' };
  assert.deepEqual(step.unreadable[0]?.error.fault, { ...fault, offset: 2 * CHUNK_BYTES });
  assert.deepEqual(step.untracked, [{ slot: 0, chunk: 3 }]);
  assert.equal(step.comparedChunks, CHUNKS - 1);
  assert.equal(step.next, CHUNKS);
});

test('steps of any length cover the disk; an abort ends one between groups', async () => {
  const rig = await scrubRig();
  rot(rig, 6);
  let [from, compared, found] = [0, 0, 0];
  while (from < CHUNKS) {
    const step = await scrubStep(rig.parts, from, 2, never);
    assert.equal(step.next, Math.min(CHUNKS, from + 2));
    from = step.next;
    compared += step.comparedChunks;
    found += step.untracked.length;
  }
  assert.deepEqual([compared, found], [CHUNKS, 1]);
  const step = await scrubStep(rig.parts, 4, 100, AbortSignal.abort());
  assert.deepEqual([step.next, step.comparedChunks], [4, 0]);
});

/** What else happens; each is something a running node does. */
const EVENTS = ['write', 'same', 'checkpoint', 'begin', 'commit', 'fail', 'round'] as const;
type Event = (typeof EVENTS)[number];

async function happen(rig: ScrubRig, event: Event, chunk: number): Promise<void> {
  const [target] = rig.targets;
  assert.ok(target);
  const at = Math.min(chunk * CHUNK_BYTES + 4000, SIZE_BYTES - 200);
  switch (event) {
    case 'write':
      await rig.guest.write(at, new Uint8Array(200).fill(0xa0 + chunk));
      break;
    case 'same': {
      const same = new Uint8Array(200);
      await rig.guest.read(at, same);
      await rig.guest.write(at, same);
      break;
    }
    case 'checkpoint':
      assert.notEqual(await rig.volume.checkpoint(), 'busy');
      break;
    case 'begin':
      if (!target.inRound) await target.begin();
      break;
    case 'commit':
      if (target.inRound) await target.commit();
      break;
    case 'fail':
      if (target.inRound) await target.fail();
      break;
    case 'round':
      if (target.inRound) await target.commit();
      await target.begin();
      await target.commit();
  }
}

/** One pass with `script`: at the nth moment of its name the events happen. Chunks 1 and 2 are the
 * guest's, 5 rots before the pass. Returns what was found of the guest's. */
async function story(
  script: readonly { moment: Moment; turn: number; events: readonly Event[]; chunk: number }[],
  mutate: (rig: ScrubRig) => ScrubParts,
): Promise<{ falsely: number; found: boolean; next: number }> {
  const rig = await scrubRig();
  rot(rig, 5);
  const turns = new Map<Moment, number>();
  const order = new Mutex(); // chunks are read at the same time
  rig.at = (moment) =>
    order.run(async () => {
      const turn = turns.get(moment) ?? 0;
      turns.set(moment, turn + 1);
      for (const entry of script) {
        if (entry.moment !== moment || entry.turn !== turn) continue;
        for (const event of entry.events) await happen(rig, event, entry.chunk);
      }
    });
  await rig.at('before');
  const first = await pass(rig, mutate(rig));
  rig.at = async () => {};
  const [target] = rig.targets;
  if (target?.inRound) await target.fail();
  const second = first.next === CHUNKS ? first : await pass(rig);
  const all = [...first.untracked, ...(second === first ? [] : second.untracked)];
  const falsely = all.filter(({ chunk }) => chunk !== 5).length;
  return { falsely, found: all.some(({ chunk }) => chunk === 5), next: second.next };
}

const TWO_EVENTS: readonly (readonly Event[])[] = EVENTS.flatMap((one) => [
  [one],
  ...EVENTS.map((two) => [one, two]),
  ...EVENTS.map((two) => ['write' as const, one, two]),
]);

/** Every one to three events at every moment, then scripts of several moments by a seed. */
async function walk(
  mutate: (rig: ScrubRig) => ScrubParts,
): Promise<{ falsely: number; runs: number }> {
  let [falsely, runs] = [0, 0];
  const caught = (): boolean => mutate !== honest && falsely > 0;
  const run = async (script: Parameters<typeof story>[0]): Promise<void> => {
    const told = await story(script, mutate);
    falsely += told.falsely;
    runs += 1;
    if (mutate !== honest) return;
    assert.ok(told.found && told.next === CHUNKS, `the rot is found: ${JSON.stringify(script)}`);
    assert.equal(told.falsely, 0, `a write was taken for rot: ${JSON.stringify(script)}`);
  };
  for (const moment of MOMENTS) {
    for (const events of TWO_EVENTS)
      if (!caught()) await run([{ moment, turn: 0, events, chunk: 1 }]);
  }
  const random = seededRandom(seed);
  const pick = <T>(from: readonly T[], other: T): T => from[random.below(from.length)] ?? other;
  for (let turn = 0; turn < 200 && !caught(); turn += 1) {
    const script = Array.from({ length: 1 + random.below(5) }, () => ({
      moment: pick(MOMENTS, 'read'),
      turn: random.below(4),
      events: pick(TWO_EVENTS, ['write']),
      chunk: 1 + random.below(2),
    }));
    await run(script);
  }
  return { falsely, runs };
}

const honest = (rig: ScrubRig): ScrubParts => rig.parts;

test('a guest writes, rounds run and fail at every moment: never a false finding', async (t) => {
  t.diagnostic(`HAST_SEED=${seed}`);
  const { runs } = await walk(honest);
  t.diagnostic(`${runs} walks`);
});

/** The volume with some of its answers replaced. */
const spoiled = (rig: ScrubRig, answers: Record<string, unknown>): ScrubParts => ({
  ...rig.parts,
  volume: new Proxy(rig.volume, {
    get: (real, name) => {
      if (typeof name === 'string' && name in answers) return answers[name];
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? value.bind(real) : value;
    },
  }),
});

const MUTANTS: Record<string, (rig: ScrubRig) => ScrubParts> = {
  'does not look for marks after the read': (rig) => spoiled(rig, { isDirty: () => false }),
  // Either alone would be seen by the other: a table changes in a round, which begins by a cut.
  'takes a table of another point, and does not look at swaps': (rig) => ({
    ...spoiled(rig, { swaps: 1 }),
    targets: rig.targets.map((target) => ({
      target: target.target,
      slot: target.slot,
      table: { get: (chunk) => target.table.get(chunk), point: { ...POINT } },
      trusted: () => true,
    })),
  }),
};
const POINT = { id: new Uint8Array(16).fill(1), number: 1, timeMs: 1 };

for (const [name, mutant] of Object.entries(MUTANTS)) {
  test(`mutant, caught: ${name}`, async () => {
    assert.ok((await walk(mutant)).falsely > 0);
  });
}

test('mutant, caught: marks that are lost', async () => {
  // A guest whose sections mark nothing is a device that is written behind our back.
  const rig = await scrubRig();
  await rig.guest.write(3 * CHUNK_BYTES, new Uint8Array(CHUNK_BYTES).fill(77));
  rig.volume.core.liveMap().clearAll();
  assert.deepEqual((await pass(rig)).untracked, [{ slot: 0, chunk: 3 }]);
});
