import { exploreAll, exploreSome, listening } from './explorer.js';
import { asWritten, MUTANTS } from './mutants.js';
import { type Plan, type Parts, TinyWorld } from './tiny-world.js';
import { seededRandom } from '../../src/base/random.js';

const w1 = { first: 0, count: 1 }, w2 = { first: 1, count: 1 }, both = { first: 1, count: 16 }, far = { first: 16, count: 1 };
const base: Plan = { dirty: [0], writers: [w1, w2], targets: 1, checkpoints: 0, release: false, spillRecords: 8 };
const plans: Record<string, Plan> = {
  base,
  release: { ...base, release: true },
  span: { ...base, dirty: [0, 16], writers: [both, far] },
  two: { ...base, targets: 2 },
  check: { ...base, checkpoints: 1 },
  full: { ...base, spillRecords: 0 },
  one: { ...base, writers: [w2], targets: 2, checkpoints: 1},
};
function go(plan: Plan, parts: Parts, max: number) {
  const w = new TinyWorld(plan, parts);
  return listening(() => w.core.control, () => exploreAll(() => w.start(), { preemptionsMax: max, statesMax: 3e6 }));
}
if (process.argv[2] === 'mut') {
for (const m of MUTANTS) {
  const found: string[] = [];
  for (const [name, plan] of Object.entries(plans)) for (const max of [0, 1, 2, 3]) {
    try { go(plan, m.parts, max); if (max === 3) found.push(name + ':-'); } catch (e) { found.push(name + ':' + max + ' ' + ((e as Error).message).split('\n')[0]?.slice(0, 60)); break; }
  }
  console.log(m.rule, m.breaks, '\n   ', found.join('\n    '));
}
} else {
for (const [name, plan] of Object.entries(plans)) for (const max of [2, 3, ...(name === 'base' ? [Infinity] : [])]) {
  const t = performance.now();
  try { console.log(name, max, go(plan, asWritten, max), performance.now() - t); } catch (e) { console.log(name, max, (e as Error).message); break; }
}
for (const [name, plan] of Object.entries(plans)) {
  const t = performance.now();
  const w = new TinyWorld(plan, asWritten);
  console.log(name, listening(() => w.core.control, () => exploreSome(() => w.start(), 5000, seededRandom(1))), performance.now() - t);
}
}
