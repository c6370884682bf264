// A story of a bad network: guests write all the time, rounds run by schedule, by hastctl and back
// to back, and the link between both nodes is cut, refused, stalled, slowed, delayed, half-closed
// and corrupted at seeded moments. No guest waits for it (W4); the replica is a whole point each
// time it is looked at (D2, C2): over plain TCP too, where nothing but the protocol's own checks
// stands between a wrong bit and the disk. In each calm, all is equal, every point retained is its
// cut, and neither memory nor files have grown beyond bounds (W5). Sizes are bytes.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { checkImage } from '../consistency/check-point.js';
import { DECK_SIZE, networkFault } from './network-faults.js';
import type { RealNode } from './nodes.js';
import { pastPoints } from './past-points.js';
import { until } from './steps.js';
import { startTrio, type Trio } from './trio.js';
import { tail, Watched } from './watched.js';

const SIZE = 8 * MIB + 512;
const RETAIN = 6;
const TIMEOUT_SECONDS = 3;
/** Of one episode: what the checker must remember grows with it. */
const EPISODE_MS = 25_000;
const PAUSE_MS = 200;
/** Between two faults. */
const PEACE_MS_MAX = 700;
const LOOK_MS = 2500;
/** A guest that waited for the network would wait longer, machine busy or not. */
const STUCK_MS_MAX = 8000;
const RSS_BYTES_MAX = 450 * MIB;
/** Files of a resource that may stand in a calm, beside its undos: state, maps, tables, spill. */
const FILES_MAX = 12;

export interface NetworkTale {
  readonly tls: boolean;
  readonly seed: number;
  readonly seconds: number;
}

export async function badNetwork(t: TestContext, tale: NetworkTale): Promise<void> {
  t.diagnostic(`HAST_SEED=${tale.seed}`);
  const config = `interval 10s  timeout ${TIMEOUT_SECONDS}s  retain ${RETAIN}`;
  const hastdArgs = ['-d'];
  const trio = await startTrio(t, {
    sizeBytes: SIZE,
    config,
    hastdArgs,
    tls: tale.tls,
    withC: false,
  });
  const { a } = trio;
  const random = seededRandom(tale.seed);
  const endMs = nowMs() + tale.seconds * 1000;
  let base: Buffer | null = null;
  for (let episode = 1; episode === 1 || nowMs() < endMs; episode += 1) {
    const watched = new Watched(a, SIZE, tale.seed + 1000 * episode, base);
    const lengthMs = Math.min(EPISODE_MS, Math.max(endMs - nowMs(), EPISODE_MS / 4));
    const told = await underFaults(trio, watched, random, lengthMs);
    const points = await calm(trio, watched);
    const rss = [a, trio.b].map((node) => `${Math.round(residentBytes(node) / MIB)} MiB`);
    t.diagnostic(`episode ${episode}: ${told}; ${points} points are their cuts; RSS ${rss}`);
    base = readFileSync(a.image);
  }
  const flipped = trio.toB.flipped;
  const { failed, committed, resumed } = outcomesOf(a);
  t.diagnostic(`${committed} rounds committed, ${failed} failed, sessions resumed: ${resumed}`);
  t.diagnostic(`${flipped} bits turned over`);
  assert.ok(committed > 0 && failed + resumed > 0 && flipped > 0, 'faults met rounds');
}

/** Guests, rounds and faults for so long. Says what happened. */
async function underFaults(
  { a, b, toB }: Trio,
  watched: Watched,
  random: Random,
  lengthMs: number,
): Promise<string> {
  await watched.startGuests();
  const stop = watched.rounds(PAUSE_MS);
  const over = new AbortController();
  const endMs = nowMs() + lengthMs;
  const jobs = [lookAt(watched, b, over.signal), byHastctl(a, over.signal)];
  jobs.push(guestsGoOn(watched, over.signal));
  const counts = new Map<string, number>();
  const deck: string[] = [];
  try {
    for (let faults = 0; nowMs() < endMs || faults < DECK_SIZE; faults += 1) {
      const name = await networkFault(toB, deck, random);
      counts.set(name, (counts.get(name) ?? 0) + 1);
      await Promise.race([sleep(random.below(PEACE_MS_MAX)), ...jobs]);
    }
  } finally {
    over.abort();
    await Promise.all(jobs);
    await stop();
  }
  return [...counts].map(([name, times]) => `${name} ${times}`).join(', ');
}

/** Each time it is still, the replica is a point. */
async function lookAt(watched: Watched, b: RealNode, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await watched.seen(b);
    await sleep(LOOK_MS);
  }
}

/** The way of an operator: its status may be that of a failed round, its end comes. */
async function byHastctl(a: RealNode, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { status, stderr } = await a.ctl('sync', 'vm1', '--wait');
    assert.ok(status >= 0, `hastctl sync does not end: ${stderr}\n${tail(a)}`);
    await sleep(LOOK_MS);
  }
}

/** W4. */
async function guestsGoOn(watched: Watched, signal: AbortSignal): Promise<void> {
  let [answers, sinceMs] = [watched.answers, nowMs()];
  while (!signal.aborted) {
    await sleep(PAUSE_MS);
    if (watched.answers > answers) [answers, sinceMs] = [watched.answers, nowMs()];
    assert.ok(nowMs() - sinceMs < STUCK_MS_MAX, 'guests wait for the network');
  }
}

/** Without faults: a round goes through, all is equal. Returns how many points were looked at. */
async function calm({ folder, a, b }: Trio, watched: Watched): Promise<number> {
  let said = '';
  await until('a round goes through', async () => {
    const outcomes = await watched.sync();
    said = JSON.stringify(outcomes);
    assert.doesNotMatch(said, /diverged/, said);
    return outcomes.every(({ outcome }) => outcome === 'applied' || outcome === 'nothing');
  }).catch((error: unknown) => {
    throw new assert.AssertionError({ message: `${error}\n${said}\n${tail(a)}\n${tail(b)}` });
  });
  await watched.endsEqual(b);
  const points = await retainedArePoints(watched, b, join(folder, 'b', 'vm1'));
  for (const node of [a, b]) {
    const bytes = residentBytes(node);
    assert.ok(bytes < RSS_BYTES_MAX, `${node.name} has ${bytes} bytes in memory`);
    assertFewFiles(join(folder, node.name, 'vm1'));
  }
  return points;
}

/** Those of this episode: of earlier ones `watched` knows nothing. */
async function retainedArePoints(watched: Watched, b: RealNode, directory: string) {
  let looked = 0;
  for await (const { point, image } of pastPoints(b, directory)) {
    const cut = watched.cutOf(b.name, point);
    if (cut.beganAt < watched.log.createdAt) break;
    const { sizeBytes } = point;
    const found = await checkImage(image, watched.log, cut, { sizeBytes });
    assert.deepEqual(found, [], `retained point ${point.number} of ${point.time}`);
    looked += 1;
  }
  return looked;
}

function assertFewFiles(directory: string): void {
  const names = readdirSync(directory);
  const undos = names.filter((name) => name.startsWith('undo-')).length;
  const odd = names.filter((name) => /^(stage-|committed-)|\.(part|tmp)$/.test(name));
  assert.deepEqual(odd, [], 'nothing of a round stays behind');
  assert.ok(undos < RETAIN && names.length - undos <= FILES_MAX, names.join(' '));
}

function residentBytes({ pid }: RealNode): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
}

function outcomesOf(a: RealNode) {
  const log = a.log();
  const count = (sentence: string): number => log.split(`"msg":"${sentence}"`).length - 1;
  return {
    committed: count('round committed'),
    failed: count('round failed'),
    resumed: count('the session with the target stands again'),
  };
}

function nowMs(): number {
  return systemClock.monotonicMs();
}
