// Many damages of one kept file, each on a fork of a scene: opened again, heard, judged, counted.
// A damage must be detected, and named with its file, or be harmless: then an undamaged start
// knows just the same. HAST_ROT=n: so many damages of each file (`npm run rot`: 1000).
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { describeError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { STATE } from '../crash/nodes.js';
import { aftermath } from './aftermath.js';
import { type Damage, damageOf, inflict } from './damage.js';
import type { KeptFile } from './kept-files.js';
import { keptBy, type Scene, scene, worldOf } from './scenes.js';

const few = process.env['HAST_REQUIRE_ALL'] === '1' ? 120 : 100;
/** Damages of each file. */
export const DAMAGES = Number(process.env['HAST_ROT'] ?? few);
const SCENE_SEED = 61;
const WRONG_MAX = 4;

export const seedFromEnv = (): number => Number(process.env['HAST_SEED'] ?? 20_261_121);

export interface Tally {
  damages: number;
  named: number;
  harmless: number;
  /** Told by nothing but a pass over the disk. */
  blind: number;
  readonly ways: Map<string, number>;
  readonly kinds: Map<string, number>;
  readonly wrong: string[];
}

const newTally = (): Tally => ({
  damages: 0,
  named: 0,
  harmless: 0,
  blind: 0,
  ways: new Map(),
  kinds: new Map(),
  wrong: [],
});

/** Damages `kept` in each of its scenes in turn; fails on the first few that are accepted. */
export async function damageAll(t: TestContext, kept: KeptFile): Promise<Tally> {
  const seed = seedFromEnv();
  const tally = newTally();
  for (const [index, name] of kept.scenes.entries()) {
    const at = await scene(name, SCENE_SEED);
    const names = (await keptBy(at.pair, kept.end)).filter((each) => kept.file.test(each));
    assert.ok(names.length > 0, `${kept.name} is there in "${name}"`);
    const facts = await factsOf(at, seed);
    const share = Math.ceil(DAMAGES / kept.scenes.length);
    for (let trial = 0; trial < share && tally.wrong.length < WRONG_MAX; trial += 1) {
      const file = names[trial % names.length] ?? '';
      const trialSeed = seed + index * 1_000_003 + trial;
      await oneDamage({ at, kept, file, facts, seed: trialSeed, tally });
      await turn(); // memory of what is gone is given back
    }
  }
  t.diagnostic(`HAST_SEED=${seed} ${kept.name}: ${said(tally)}`);
  assert.equal(tally.wrong.length, 0, tally.wrong.join('\n\n'));
  return tally;
}

function said({ damages, named, harmless, blind, ways, kinds }: Tally): string {
  const list = (map: ReadonlyMap<string, number>) =>
    [...map].map(([what, count]) => `${what} ${count}`).join(', ') || 'none';
  return (
    `${damages} damages (${list(kinds)}): ${named} named, ${harmless} harmless, ` +
    `${blind} found by the background pass; ` +
    `ways out: ${list(ways)}`
  );
}

const forkOf = (at: Scene, seed: number) => at.pair.fork('sender', 'none', seed, 'killed');

/** What both ends know after a start of the scene as it is. */
async function factsOf(at: Scene, seed: number): Promise<string> {
  at.heard.lines = [];
  const { facts } = await aftermath(forkOf(at, seed), at.heard);
  return facts;
}

interface Trial {
  readonly at: Scene;
  readonly kept: KeptFile;
  readonly file: string;
  readonly facts: string;
  readonly seed: number;
  readonly tally: Tally;
}

async function oneDamage({ at, kept, file, facts, seed, tally }: Trial): Promise<void> {
  const path = `${STATE}/${file}`;
  const pair = forkOf(at, seed);
  const world = worldOf(pair, kept.end);
  const random = seededRandom(seed);
  const bytes = world.peek(path) ?? new Uint8Array(0);
  const olders = at.olders(kept.end, path);
  let damage: Damage | null = null;
  for (let tries = 0; damage === null && tries < 100; tries += 1) {
    damage = damageOf(bytes, olders, random);
  }
  assert.ok(damage, 'something can be damaged');
  const which = `damage ${seed}, "${at.name}", ${kept.end} ${file}: ${damage.text}`;
  const what = `HAST_SEED=${seedFromEnv()}, ${which}`;
  await inflict(world, path, damage);
  at.heard.lines = [];
  tally.damages += 1;
  count(tally.kinds, damage.kind);
  try {
    const blind = kept.blind?.has(damage.kind) ?? false;
    const after = await aftermath(pair, at.heard, blind);
    const gone = damage.bytes === null && kept.goneAs ? kept.goneAs : null;
    const name = at.heard.naming(file) ?? (gone && at.heard.matching(gone));
    for (const way of after.ways) count(tally.ways, way);
    if (name !== null) tally.named += 1;
    else if (after.facts === facts) tally.harmless += 1;
    else if (blind) tally.blind += 1;
    else tally.wrong.push(`${what}\nnobody named it:\n${at.heard.lines.join('\n')}`);
  } catch (error) {
    const stack = error instanceof Error ? error.stack : '';
    tally.wrong.push(
      `${what}\n${describeError(error)}\n${stack}\nheard:\n${at.heard.lines.join('\n')}`,
    );
  }
}

const count = (map: Map<string, number>, key: string): void => {
  map.set(key, (map.get(key) ?? 0) + 1);
};
