// A disk under watch: guests that write into one BlockLog through the export of the primary, rounds
// that are asked for, and replicas each of whose images must be a point as D2 says: that of the cut
// which the primary logged for it (hastd -d), or, where it did not live to log it, of the longest
// cut that can have ended at the time of the point. Stamps as in block-log.ts, sizes are bytes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { PointRecord, SyncAnswer } from '../../src/control/api.js';
import { BlockLog, type Stamp } from '../consistency/block-log.js';
import { type CutWindow, checkImage } from '../consistency/check-point.js';
import { Guest, stampsOfCut, WALL_SLACK_NS } from './guest.js';
import type { RealNode } from './nodes.js';

const GUESTS = 2;
const POLL_MS = 20;
const STILL_MS_MAX = 30_000;
/** A gate that does not close within a second opens again (H4). */
const CUT_MS_MAX = 1000;
const WALL_SLACK_MS = WALL_SLACK_NS / 1e6;
const LOG_LINES_SHOWN = 25;
const never = (): AbortSignal => new AbortController().signal;

/** A point of a replica, and what its image was found to be. */
export interface Seen {
  readonly id: string;
  readonly number: number;
  readonly image: Buffer;
  readonly cut: CutWindow;
}

export class Watched {
  readonly log: BlockLog;
  readonly guests: readonly Guest[];
  readonly #primary: RealNode;
  readonly #seen = new Map<string, Seen>();

  /** `base`: content before the first write; null: zeroes. `wanders`: as of Guest. */
  constructor(
    primary: RealNode,
    sizeBytes: number,
    seed: number,
    base: Buffer | null = null,
    wanders = false,
  ) {
    this.#primary = primary;
    const baseOf = (block: number): Uint8Array | null =>
      base?.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES) ?? null;
    this.log = new BlockLog({ sizeBytes, seed, base: baseOf });
    this.guests = Array.from(
      { length: GUESTS },
      (_, client) => new Guest(client, this.log, seededRandom(seed + 1 + client), wanders),
    );
  }

  /** Operations answered so far. */
  get answers(): number {
    return this.guests.reduce((sum, guest) => sum + guest.answers, 0);
  }

  async startGuests(): Promise<void> {
    for (const guest of this.guests) await guest.start(this.#primary.nbdSocket);
  }

  async stopGuests(): Promise<void> {
    for (const guest of this.guests) await guest.stop();
  }

  /** Their server has ended, and nothing of theirs is under way there any more. */
  async lostGuests(): Promise<void> {
    for (const guest of this.guests) await guest.lost();
  }

  /** A round of every target, waited for; a daemon that dies meanwhile is a failed round. */
  async sync(): Promise<SyncAnswer['outcomes']> {
    try {
      const wait = 'applied';
      return (await this.#primary.control.sync('vm1', { wait }, never())).outcomes;
    } catch (error) {
      return [{ target: '', outcome: 'failed', point: null, text: String(error) }];
    }
  }

  /** The same; it must be applied everywhere, at cuts that came after the request. */
  async applied(): Promise<void> {
    const askedMs = systemClock.wallMs();
    const outcomes = await this.sync();
    const cuts = cutLines(this.#primary);
    for (const { target, outcome, point, text } of outcomes) {
      assert.equal(outcome, 'applied', `${target}: ${text}\n${tail(this.#primary)}`);
      const cut = cuts.findLast((each) => each.target === target && each.point === point);
      assert.ok(cut && cut.beganMs > askedMs - WALL_SLACK_MS, 'the cut is of now');
    }
  }

  /** Rounds one after another until told to stop; then resolves when the last has its answer. A
   * test that has failed may leave them: they do not keep the process. */
  rounds(pauseMs: number): () => Promise<void> {
    const over = new AbortController();
    const pause = { ref: false, signal: over.signal };
    const all = (async () => {
      while (!over.signal.aborted) {
        await this.sync();
        await sleep(pauseMs, undefined, pause).catch(() => undefined);
      }
    })();
    return () => {
      over.abort();
      return all;
    };
  }

  /** The image of `replica` is the point it names. One that was seen before has not changed: there
   * is nothing in it of a round that did not commit. Null: it has no point yet. */
  async seen(replica: RealNode): Promise<Seen | null> {
    const still = await standing(replica);
    if (still === null) return null;
    const { point, image } = still;
    const before = this.#seen.get(replica.name);
    if (before?.id === point.id) {
      assert.ok(image.equals(before.image), `point ${point.number} of ${replica.name} has changed`);
      return before;
    }
    const cut = this.cutOf(replica.name, point);
    const { sizeBytes } = point;
    assert.equal(image.length, sizeBytes);
    const found = await checkImage(image, this.log, cut, { sizeBytes });
    const said = `point ${point.number} of ${point.time}\n${tail(this.#primary)}\n${tail(replica)}`;
    assert.deepEqual(found, [], said);
    const seen = { id: point.id, number: point.number, image, cut };
    this.#seen.set(replica.name, seen);
    return seen;
  }

  /** What was under way in a cut. */
  underWay({ beganAt, endedAt }: CutWindow): number {
    const meets = (one: { issuedAt: Stamp; endedAt: Stamp }): boolean =>
      one.issuedAt < endedAt && one.endedAt > beganAt;
    return this.log.records().filter(meets).length;
  }

  /** Without guests, after a last round: all images are equal, by both ways to tell. */
  async endsEqual(...replicas: readonly RealNode[]): Promise<void> {
    await this.stopGuests();
    for (const { outcome, text } of await this.sync()) {
      assert.match(outcome, /^(applied|nothing)$/, text);
    }
    const { sizeBytes } = this.log;
    const mine = readFileSync(this.#primary.image).subarray(0, sizeBytes);
    for (const replica of replicas) {
      await this.seen(replica);
      const theirs = readFileSync(replica.image).subarray(0, sizeBytes);
      assert.ok(mine.equals(theirs), `${replica.name} is equal`);
    }
    const { results } = await this.#primary.control.verify('vm1', true, never());
    const differing = results.map((one) => one.differing);
    assert.deepEqual(differing, new Array<number>(replicas.length).fill(0));
  }

  /** When the cut of a point of `target` was. */
  cutOf(target: string, point: PointRecord): CutWindow {
    const endedMs = Date.parse(point.time);
    const line = cutLines(this.#primary).find(
      (each) => each.target === target && each.point === point.number,
    );
    if (line === undefined) return stampsOfCut({ beganMs: endedMs - CUT_MS_MAX, endedMs });
    assert.equal(line.endedMs, endedMs);
    return stampsOfCut(line);
  }
}

export interface CutLine {
  readonly target: string;
  readonly point: number;
  /** Wall time of the gate's closing and opening. */
  readonly beganMs: number;
  readonly endedMs: number;
  /** Wall time of the line: the round is committed. */
  readonly time: number;
}

/** The cuts of rounds that a hastd -d has seen committed, oldest first. */
export function cutLines(primary: RealNode): CutLine[] {
  const lines = primary.log().split('\n');
  return lines.filter((line) => line.includes('"msg":"cut"')).map((line) => JSON.parse(line));
}

/** The last point of a replica and its image, read while nothing was applied to it: the point and
 * an idle replica are seen before and after, in the order that no apply can slip through. */
async function standing(replica: RealNode): Promise<{ point: PointRecord; image: Buffer } | null> {
  const { control } = replica;
  const idle = async (): Promise<boolean> => {
    const [vm1] = (await control.status(['vm1'])).resources;
    const work = vm1?.targets[0]?.work;
    return work !== 'applying';
  };
  const last = async () => (await control.points('vm1')).points.at(-1) ?? null;
  for (let waitedMs = 0; waitedMs < STILL_MS_MAX; waitedMs += POLL_MS) {
    if (await idle()) {
      const before = await last();
      if (before === null) return null;
      const image = readFileSync(replica.image);
      if ((await idle()) && (await last())?.id === before.id) {
        return { point: before, image: image.subarray(0, before.sizeBytes) };
      }
    }
    await sleep(POLL_MS);
  }
  assert.fail(`${replica.name} is never still\n${tail(replica)}`);
}

/** The end of what a node has logged. */
export const tail = (node: RealNode): string =>
  `--- ${node.name}\n${node.log().trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n')}`;
