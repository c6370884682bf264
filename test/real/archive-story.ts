// A story of an archive: a working disk, rounds that carry it to a store while the guest writes on,
// days that pass between them so that the rule of `retain` lets points go and prunes remove them,
// pins, and SIGKILL of hastd, and of the store where that can come back, at moments that the seed
// chooses, first copy included. Whatever happens, each point that the archive has is the disk as it
// was at an instant between the order of its round and the end of it (D2), read by hastctl from
// the url alone; in the end exactly what the rule and the pins keep is there, and no pack that no
// point needs. All choices come from one seed.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import type { Place } from './archive-places.js';
import { type ArchiveCheck, ArchiveScene } from './archive-scene.js';
import { seededBytes } from './images.js';
import type { Span } from './written-disk.js';

/** Between two rounds: more than a prune waits before a point may go. */
const HOURS_BETWEEN = 30;
export const KEEPS_LAST = 3;
/** Of a round with the usual changes, at most. */
const REQUESTS_OF_ROUND = 14;
/** Of a first copy, at least. */
const REQUESTS_OF_FIRST = 5;
/** A round whose daemon is killed by time, and a first copy. */
const KILL_MS_MAX = 500;
const FIRST_KILL_MS_MAX = 1500;
const STORE_KILL_MS_MAX = 300;
const TRIES_MAX = 20;
const RETRY_MS = 100;
const CHANGES_MAX = 8;
const CHANGE_BYTES_MAX = 512 * 1024;
/** In so many rounds one has its point pinned. */
const PINNED_ONE_IN = 5;

export interface ArchiveTale {
  readonly seed: number;
  readonly rounds: number;
  readonly sizeBytes: number;
  /** Content before the first copy. */
  readonly firstBytes: number;
  readonly sealed?: 'key' | 'passphrase';
  /** Of the archive block. */
  readonly statements?: string;
  /** SIGKILLs of hastd in the first copy. */
  readonly firstKills: number;
  /** In so many rounds hastd is killed, and the store, once each; 0: never. */
  readonly killOneIn: number;
  /** All points are restored after so many rounds, too; 0: only in the end. */
  readonly lookEvery: number;
}

/** What a story came to. */
export interface Told {
  readonly points: number;
  readonly restored: number;
  readonly kills: number;
  readonly killsInRounds: number;
  readonly storeKills: number;
  readonly failedRounds: number;
  readonly kept: number;
  readonly packs: number;
}

export async function tellArchive(
  t: TestContext,
  tale: ArchiveTale,
  placeIn: (folder: string, random: Random) => Place | Promise<Place>,
): Promise<Told> {
  t.diagnostic(`HAST_SEED=${tale.seed}`);
  const random = seededRandom(tale.seed);
  const { sizeBytes, statements = '', sealed } = tale;
  const ofArchive = `retain last ${KEEPS_LAST}  ${statements}`;
  const options = { sizeBytes, random, ofArchive, ...(sealed === undefined ? {} : { sealed }) };
  const scene = await ArchiveScene.make(t, (folder) => placeIn(folder, random), options);
  const story = new Story(scene, random);
  await scene.begin();
  await story.firstCopy(tale.firstBytes, tale.firstKills);
  for (let round = 1; round <= tale.rounds; round += 1) {
    const at = (oneIn: number): boolean => oneIn > 0 && random.below(oneIn) === 0;
    await story.day({ hastd: at(tale.killOneIn), store: at(tale.killOneIn) });
    if (tale.lookEvery > 0 && round % tale.lookEvery === 0) await story.allPointsAreRight();
  }
  const told = await story.end();
  t.diagnostic(
    Object.entries(told)
      .map(([what, count]) => `${what}: ${count}`)
      .join('; '),
  );
  return told;
}

interface Kills {
  readonly hastd: boolean;
  readonly store: boolean;
}

class Story {
  readonly scene: ArchiveScene;
  readonly #random: Random;
  /** By number: what a point may be. */
  readonly #spans = new Map<number, Span>();
  /** State at the order of the first attempt since the last point that is known. */
  #openFrom: number | null = null;
  readonly #pinned = new Map<number, string>();
  #hours = 0;
  #restored = 0;
  #kills = 0;
  #killsInRounds = 0;
  #storeKills = 0;
  #failed = 0;

  constructor(scene: ArchiveScene, random: Random) {
    this.scene = scene;
    this.#random = random;
  }

  async firstCopy(bytes: number, kills: number): Promise<void> {
    const { disk } = this.scene;
    for (let at = 0; at < bytes; at += MIB) {
      const seed = 1 + this.#random.below(2 ** 30);
      await disk.write(at, seededBytes(seed, Math.min(MIB, bytes - at)));
    }
    for (let kill = 1; kill <= kills; kill += 1) {
      await this.#attempt({ hastd: true, store: false }, FIRST_KILL_MS_MAX);
    }
    await this.#untilPoint();
  }

  /** A day of changes, and its round, with its ends; then one that must go through. */
  async day(kills: Kills): Promise<void> {
    const { scene } = this;
    this.#hours += HOURS_BETWEEN;
    scene.hoursAhead(this.#hours);
    await scene.disk.change(1 + this.#random.below(CHANGES_MAX), CHANGE_BYTES_MAX);
    const number = (await this.#attempt(kills, KILL_MS_MAX)) ?? (await this.#untilPoint());
    if (this.#random.below(PINNED_ONE_IN) > 0) return;
    const name = `round-${number}`;
    await scene.ask('pin', `${scene.url}@${number}`, name);
    this.#pinned.set(number, name);
  }

  /** Of everything that the archive has. */
  async allPointsAreRight(): Promise<readonly number[]> {
    const { scene } = this;
    const points = await scene.points();
    let before = 0;
    for (const { number, name, sizeBytes } of points) {
      const span = this.#spans.get(number);
      assert.ok(span !== undefined, `point ${number} was made by a round that was asked for`);
      assert.equal(sizeBytes, scene.disk.sizeBytes);
      const image = await scene.restored(name ?? number);
      const state = scene.disk.stateOf(image, span);
      const said = `states ${span.from} to ${span.to}\n${scene.node.log().slice(-4000)}`;
      assert.ok(state !== null, `point ${number} is none of ${said}`);
      assert.ok(state >= before, 'points follow each other');
      before = state;
      this.#restored += 1;
    }
    return points.map(({ number }) => number);
  }

  /** Two days later: what is kept is what the rule and the pins keep, all of it is whole, and
   * nothing else is there. */
  async end(): Promise<Told> {
    const { scene } = this;
    this.#hours += 2 * HOURS_BETWEEN;
    scene.hoursAhead(this.#hours);
    await scene.disk.change(1, CHANGE_BYTES_MAX);
    await this.#untilPoint();
    // What is called going by that point may be removed; what it does not keep, it has named.
    await scene.prune();
    const numbers = await this.allPointsAreRight();
    const all = [...this.#spans.keys()].sort((one, other) => one - other);
    const wanted = new Set([...all.slice(-KEEPS_LAST), ...this.#pinned.keys()]);
    assert.deepEqual(
      numbers,
      [...wanted].sort((one, other) => one - other),
    );
    const deep = await scene.ask<ArchiveCheck>('verify', scene.url);
    assert.ok(deep.chunks > 0 && deep.damagedChunks === 0);
    const { packs } = await scene.ask<ArchiveCheck>('verify', '--quick', scene.url);
    assert.equal(await scene.place.packs(), packs, 'no pack is there that no point needs');
    await this.#differ(numbers);
    return {
      points: this.#spans.size,
      restored: this.#restored,
      kills: this.#kills,
      killsInRounds: this.#killsInRounds,
      storeKills: this.#storeKills,
      failedRounds: this.#failed,
      kept: numbers.length,
      packs,
    };
  }

  /** `diff` of the oldest and the newest point has every byte in which they differ. */
  async #differ(numbers: readonly number[]): Promise<void> {
    const { scene } = this;
    const [first = 0, last = 0] = [numbers[0], numbers.at(-1)];
    const { ranges } = await scene.ask<{ ranges: { offset: number; length: number }[] }>(
      ...['diff', `${scene.url}@${first}`, String(last)],
    );
    const [one, other] = [await scene.restored(first), await scene.restored(last)];
    assert.ok(!one.equals(other) && ranges.length > 0);
    for (const { offset, length } of ranges)
      one.set(other.subarray(offset, offset + length), offset);
    assert.ok(one.equals(other), 'all that differs is in the ranges');
  }

  /** Tries until a point is made: its number. */
  async #untilPoint(): Promise<number> {
    for (let tries = 1; ; tries += 1) {
      const number = await this.#attempt({ hastd: false, store: false }, 0);
      if (number !== null) return number;
      const log = this.scene.node.log();
      assert.ok(tries < TRIES_MAX, `no round goes through\n${log.slice(-4000)}`);
      await sleep(RETRY_MS);
    }
  }

  /** A round while the guest writes, and the ends that come in it. Null: nobody knows of a point;
   * one that was made all the same is found. */
  async #attempt(kills: Kills, killMsMax: number): Promise<number | null> {
    const { scene } = this;
    const { disk } = scene;
    const [from, startMs] = [disk.answered, performance.now()];
    this.#openFrom ??= from;
    const stop = disk.changeSlowly();
    const killing = kills.hastd ? this.#killer(killMsMax) : null;
    const storeKilling = kills.store ? this.#storeKiller() : null;
    const outcome = await scene.sync();
    const refused = await stop();
    const killed = (await killing?.()) ?? false;
    if (!killed && refused !== null) throw refused;
    await storeKilling;
    if (killed) {
      this.#kills += 1;
      if (outcome.outcome === 'failed') this.#killsInRounds += 1;
      await scene.die();
      await scene.comeBack();
    }
    const span = { from: this.#openFrom, to: disk.issued };
    const { point, text } = outcome;
    const ms = Math.round(performance.now() - startMs);
    scene.say(`${outcome.outcome} ${point ?? ''}${killed ? ', killed' : ''}: ${ms} ms; ${text}`);
    if (outcome.outcome === 'applied' && point !== null) {
      this.#spans.set(point, span);
      this.#openFrom = null;
      return point;
    }
    this.#failed += 1;
    assert.equal(outcome.outcome, 'failed', 'there is something to carry');
    assert.doesNotMatch(text, /DIVERGED|wrong-from|suspect/i, scene.node.log().slice(-4000));
    await this.#found(span);
    return null;
  }

  /** Points of rounds whose answer was lost. */
  async #found(span: Span): Promise<void> {
    const { scene } = this;
    const { status, json, stderr } = await scene.hastctl('points', scene.url);
    if (status === 1) return assert.match(stderr + JSON.stringify(json), /ARCHIVE_(EMPTY|MISSING)/);
    assert.equal(status, 0, stderr);
    for (const { number } of (json as { points: { number: number }[] }).points) {
      if (!this.#spans.has(number)) this.#spans.set(number, span);
    }
  }

  /** Kills hastd at a request of the round or after some time; answers whether it came to that. */
  #killer(killMsMax: number): () => Promise<boolean> {
    const { place, node } = this.scene;
    const pid = node.pid ?? 0;
    const byRequest = place.atRequest !== null && this.#random.below(4) > 0;
    let done = false;
    const kill = (): void => {
      done = true;
      process.kill(pid, 'SIGKILL');
    };
    if (place.atRequest !== null && byRequest) {
      const requests = this.#spans.size === 0 ? REQUESTS_OF_FIRST : REQUESTS_OF_ROUND;
      const take = place.atRequest(1 + this.#random.below(requests), kill);
      return async () => {
        take();
        return done;
      };
    }
    const killing = sleep(this.#random.below(killMsMax)).then(kill);
    return () => killing.then(() => true);
  }

  async #storeKiller(): Promise<void> {
    const { kill } = this.scene.place;
    if (kill === null) return;
    await sleep(this.#random.below(STORE_KILL_MS_MAX));
    this.#storeKills += 1;
    await kill();
  }
}
