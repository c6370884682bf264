// A story of power cuts: disk and state of one side are on an ext4 whose disk keeps any part of
// what was not flushed, torn at 512 bytes (power.ts). Power fails at seeded moments while guests
// write and flush and rounds run; then it is back, with another boot id. The sender's disk has
// every write whose flush or FUA was answered (W3); a replica stands at a whole point, no older
// than the one that was answered for (D2, C1); the next round makes both disks equal (H6). With
// `lies` its hastd says "durable" of everything and keeps nothing: then all this must be found out.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { RealNode } from './nodes.js';
import { type Aftermath, Scene, SIZE, WRITTEN_BYTES } from './power-scene.js';
import { until } from './steps.js';
import { tail, Watched } from './watched.js';

export interface PowerTale {
  readonly metaflush: 'on' | 'off';
  readonly seed: number;
  readonly cuts: number;
}

/** Cuts of the primary's power. */
export async function senderCuts(t: TestContext, tale: PowerTale): Promise<void> {
  const scene = await Scene.begin(t, 'a', tale);
  if (scene === null) return;
  const { a, b, random } = scene;
  let watched = new Watched(a, WRITTEN_BYTES, tale.seed);
  let lostInAll = 0;
  for (let cut = 1; cut <= tale.cuts; cut += 1) {
    const after: Aftermath = await scene.cutUnderGuests(watched);
    const bad = JSON.stringify(after.bad.slice(0, 5));
    assert.equal(after.bad.length, 0, `sectors that cannot be: ${bad}\n${tail(a)}`);
    lostInAll += after.lost;
    await watched.seen(b);
    const said = await scene.primaryAgain();
    t.diagnostic(`cut ${cut}: ${scene.survived()}; ${after.lost} blocks are not the last; ${said}`);
    // What is there now is the truth; what comes is written over it.
    const wanders = random.below(2) === 0;
    watched = new Watched(a, WRITTEN_BYTES, tale.seed + 1000 * cut, after.image, wanders);
    await goesThrough(watched, b);
    // Some find the first round after the last recovery.
    if (random.below(4) > 0) await watched.endsEqual(b);
  }
  await watched.endsEqual(b);
  assert.ok(tale.cuts < 4 || lostInAll > 0, 'the cuts were power cuts');
}

/** Cuts of the replica's power. */
export async function replicaCuts(t: TestContext, tale: PowerTale): Promise<void> {
  const scene = await Scene.begin(t, 'b', tale);
  if (scene === null) return;
  const { a, b } = scene;
  const watched = new Watched(a, WRITTEN_BYTES, tale.seed);
  for (let cut = 1; cut <= tale.cuts; cut += 1) {
    const { answered, stop } = await scene.cutUnderRounds(watched);
    const logged = b.log().length;
    const at = await scene.replicaAgain(watched, answered);
    const compared = b.log().slice(logged).includes('comparing it with its table');
    t.diagnostic(
      `cut ${cut}: ${scene.survived()}; at ${at} of ${answered}${compared ? ', compared' : ''}`,
    );
    await stop();
    await goesThrough(watched, b);
    await watched.stopGuests();
    await goesThrough(watched, b);
    assertEqual(a, b);
  }
  await watched.startGuests();
  await watched.endsEqual(b);
  const [vm1] = (await a.control.status(['vm1'])).resources;
  assert.equal(vm1?.targets[0]?.driftChunks, 0, `nothing had changed\n${tail(b)}`);
}

/** A primary whose hastd swallows every sync: what the cut has lost is found. */
export async function senderLies(t: TestContext, seed: number): Promise<void> {
  const scene = await Scene.begin(t, 'a', { metaflush: 'on', seed, lies: true });
  if (scene === null) return;
  const { bad } = await scene.cutUnderGuests(new Watched(scene.a, WRITTEN_BYTES, seed));
  const missing = bad.filter(({ kind }) => kind === 'missing').length;
  t.diagnostic(`${scene.survived()}; ${missing} sectors miss what was flushed`);
  assert.ok(missing > 0, 'flushed writes are missing, and it is found');
}

/** A replica whose hastd swallows every sync: it does not come back as it had answered. */
export async function replicaLies(t: TestContext, seed: number): Promise<void> {
  const scene = await Scene.begin(t, 'b', { metaflush: 'on', seed, lies: true });
  if (scene === null) return;
  const watched = new Watched(scene.a, WRITTEN_BYTES, seed);
  const { answered, stop } = await scene.cutUnderRounds(watched);
  await assert.rejects(scene.replicaAgain(watched, answered), (error: Error) => {
    t.diagnostic(`${scene.survived()}; ${error.message.split('\n')[0]}`);
    return true;
  });
  await stop();
  await watched.stopGuests();
}

/** A round, as soon as one can; its image is a point. */
async function goesThrough(watched: Watched, replica: RealNode): Promise<void> {
  let said = '';
  const applied = async (): Promise<boolean> => {
    const outcomes = await watched.sync();
    said = JSON.stringify(outcomes);
    assert.doesNotMatch(said, /diverged/, said);
    return outcomes.every(({ outcome }) => outcome === 'applied' || outcome === 'nothing');
  };
  await until('a round goes through', applied).catch((error: unknown) => {
    throw new assert.AssertionError({ message: `${error}\n${said}\n${tail(replica)}` });
  });
  await watched.seen(replica);
}

function assertEqual(a: RealNode, b: RealNode): void {
  const [mine, theirs] = [a, b].map(({ image }) => readFileSync(image).subarray(0, SIZE));
  assert.ok(mine && theirs?.equals(mine), 'the round has made the replica equal');
}
