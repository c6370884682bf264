// A crash at every step of some work on files of the crash world, with every class of loss: none,
// all, each file and directory alone, seeded subsets torn at 512 bytes.
import assert from 'node:assert/strict';
import { seededRandom } from '../../src/base/random.js';
import { CrashWorld, type LossClass, WorldStopped } from '../world/memory-files.js';

const SEEDED_LOSSES = 12;

export interface CrashCase {
  /** What stands before; its own syncs decide what of it is durable. */
  readonly prepare: (world: CrashWorld) => Promise<void>;
  readonly work: (world: CrashWorld) => Promise<void>;
  /** Looks at what the crash left; `done`: the work had ended, `where`: the step it stopped at. */
  readonly check: (
    left: CrashWorld,
    crash: { readonly done: boolean; readonly where: string },
  ) => Promise<void>;
}

/** Returns the number of crashes looked at. */
export async function eachCrash(
  seed: number,
  { prepare, work, check }: CrashCase,
): Promise<number> {
  const random = seededRandom(seed);
  const clean = new CrashWorld();
  await prepare(clean);
  const first = clean.steps;
  await work(clean);
  assert.ok(clean.steps > first, 'the work takes steps');
  let crashes = 0;
  for (let step = first; step <= clean.steps; step += 1) {
    const world = new CrashWorld();
    await prepare(world);
    world.crashAt(step);
    await Promise.race([world.stopped, stopsQuietly(work(world))]);
    const done = world.stoppedAt === null;
    assert.equal(done, step === clean.steps, 'the work takes the same steps again');
    const alone = [...world.unsyncedFiles(), ...world.unsyncedDirectories()];
    const losses: LossClass[] = ['none', 'all', ...alone.map((only) => ({ only }))];
    losses.push(...Array<LossClass>(SEEDED_LOSSES).fill('seeded'));
    for (const loss of losses) {
      const where = `${world.stoppedAt ?? 'the end'}, lost: ${JSON.stringify(loss)}`;
      await check(world.afterCrash(loss, random), { done, where });
      crashes += 1;
    }
  }
  return crashes;
}

async function stopsQuietly(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof WorldStopped)) throw error;
  }
}
