// kill -9 of either side, or both, at random moments, while guests write and rounds run: after each
// recovery the replica stands at a whole point, the one it had or the one that was being made (C1),
// the next round makes a point as D2 says, and in the end nothing differs. A replica promoted after
// the last kill serves exactly the image of its last point.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import type { PointRecord, SyncAnswer } from '../../src/control/api.js';
import { BlockLog, type Stamp } from '../consistency/block-log.js';
import { checkImage } from '../consistency/check-point.js';
import { Client, CMD } from '../nbd/client.js';
import { Guest, seedFromEnv, stampOfWall, WALL_SLACK_NS } from './guest.js';
import { type Pair, type RealNode, startPair } from './nodes.js';

const SEED = seedFromEnv();
const SIZE = 8 * MIB + 512;
const KILLS = 20;
const RUN_MS_MAX = 500;
/** Rounds asked for after a recovery before one must have gone through. */
const TRIES_MAX = 40;
const RETRY_MS = 100;
/** A flush may take its time on a busy machine; a guest that waited for the replica never ends. */
const ANSWER_MS_MAX = 5000;
const POLL_MS = 10;

test(`${KILLS} times kill -9 under writing guests, then a promotion`, async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const story = await Story.begin(t);
  // The first kill finds the first copy.
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const victims = story.chooseVictims(kill);
    const startMs = systemClock.monotonicMs();
    try {
      await story.killDuringRounds(victims);
      // Every fourth time the next kill finds recovery itself, or the round after it.
      if (kill % 4 !== 0) await story.nextRoundIsAPoint();
    } finally {
      const seconds = ((systemClock.monotonicMs() - startMs) / 1000).toFixed(1);
      t.diagnostic(`kill ${kill}: ${victims.map(({ name }) => name).join(' and ')}, ${seconds} s`);
    }
  }
  await story.endsEqual();
  await story.promote();
});

/** What a point of the replica was found to be. */
interface Checked {
  readonly id: string;
  readonly image: Buffer;
}

class Story {
  readonly #pair: Pair;
  readonly #log: BlockLog;
  readonly #random: Random;
  readonly #guests: readonly Guest[];
  /** When rounds were asked for, oldest first. The cut of any of them comes after its stamp. */
  readonly #asked: { readonly at: Stamp; readonly wallMs: number }[] = [];
  #checked: Checked | null = null;

  private constructor(pair: Pair) {
    this.#pair = pair;
    this.#random = seededRandom(SEED);
    this.#log = new BlockLog({ sizeBytes: SIZE, seed: SEED });
    this.#guests = [0, 1].map(
      (client) => new Guest(client, this.#log, seededRandom(SEED + client)),
    );
  }

  static async begin(t: TestContext): Promise<Story> {
    const story = new Story(await startPair(t, { sizeBytes: SIZE, hastdArgs: ['-d'] }));
    await story.#startGuests();
    return story;
  }

  chooseVictims(kill: number): readonly RealNode[] {
    const { a, b } = this.#pair;
    if (this.#random.below(5) === 0) return [a, b];
    return [kill % 2 === 0 ? a : b];
  }

  /** Rounds back to back, the end of `victims` in the midst, and their return. */
  async killDuringRounds(victims: readonly RealNode[]): Promise<void> {
    const { a, b } = this.#pair;
    await this.#killAmidRounds(victims);
    if (victims.includes(a)) await this.#bringBackPrimary();
    else await this.#guestsGoOn();
    if (victims.includes(b)) await this.#bringBackReplica();
  }

  /** A round, as soon as the link is there again, and its image. */
  async nextRoundIsAPoint(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#sync();
      const [outcome] = answer.outcomes;
      if (outcome?.outcome === 'applied') break;
      const { a, b } = this.#pair;
      const text = `${JSON.stringify(answer)}\n${tail(a)}\n${tail(b)}`;
      assert.ok(outcome?.outcome === 'failed' && tries < TRIES_MAX, text);
      assert.doesNotMatch(outcome.text, /suspect|diverged/, text);
      await sleep(RETRY_MS);
    }
    await this.#standsAtAPoint();
  }

  async endsEqual(): Promise<void> {
    const { a, b } = this.#pair;
    for (const guest of this.#guests) await guest.stop();
    assert.match((await this.#sync()).outcomes[0]?.outcome ?? '', /^(applied|nothing)$/);
    const [mine, theirs] = [a, b].map(({ image }) => readFileSync(image).subarray(0, SIZE));
    assert.ok(mine && theirs?.equals(mine), 'the images are equal');
    const verified = await a.ask('verify', 'vm1', '--deep');
    assert.match(JSON.stringify(verified), /"differing":0/);
    await this.#standsAtAPoint();
    await this.#startGuests();
  }

  /** Both die in a round; the replica alone comes back and takes over. */
  async promote(): Promise<void> {
    const { a, b } = this.#pair;
    await this.#killAmidRounds([a, b]);
    for (const guest of this.#guests) await guest.lost();
    await this.#bringBackReplica();
    const refused = await b.ctl('role', 'primary', 'vm1');
    assert.notEqual(refused.status, 0, 'a loss must be accepted');
    await b.ask('role', 'primary', 'vm1', '--accept-loss');
    assert.ok(this.#checked !== null);
    assert.ok((await readExport(b)).equals(this.#checked.image), 'the export is the last point');
  }

  /** The replica has applied what it committed: its image is that of the point it names. */
  async #standsAtAPoint(): Promise<void> {
    const { b } = this.#pair;
    const [status] = (await b.control.status(['vm1'])).resources;
    assert.equal(status?.targets[0]?.work, 'idle', 'a secondary has applied before it says so');
    const { points } = await b.control.points('vm1');
    const point = points.at(-1);
    if (point === undefined) return;
    const image = readFileSync(b.image).subarray(0, SIZE);
    if (this.#checked?.id === point.id) {
      assert.ok(image.equals(this.#checked.image), 'nothing of a round that did not commit');
      return;
    }
    const cut = this.#cutOf(point);
    const found = await checkImage(image, this.#log, cut);
    assert.deepEqual(found, [], `point ${point.number} of ${point.time}\n${tail(b)}`);
    this.#checked = { id: point.id, image };
  }

  /** The cut of a point came after the last request for a round before its time. */
  #cutOf(point: PointRecord): { beganAt: Stamp; endedAt: Stamp } {
    const endedMs = Date.parse(point.time);
    const asked = this.#asked.findLast(({ wallMs }) => wallMs <= endedMs);
    assert.ok(asked !== undefined, 'no round without a request');
    return { beganAt: asked.at, endedAt: stampOfWall(endedMs) + WALL_SLACK_NS };
  }

  async #roundsUntil(running: { readonly stop: boolean }): Promise<void> {
    while (!running.stop) {
      const answer = await this.#sync();
      if (answer.outcomes[0]?.outcome === 'failed') await sleep(RETRY_MS);
    }
  }

  /** A round that is waited for; a daemon that dies meanwhile is a failed round. */
  async #sync(): Promise<SyncAnswer> {
    this.#asked.push({ at: this.#log.stamp(), wallMs: systemClock.wallMs() });
    const { control } = this.#pair.a;
    const waited = control.sync('vm1', { wait: 'applied' }, new AbortController().signal);
    return waited.catch((error: unknown) => ({
      outcomes: [{ target: 'b', outcome: 'failed' as const, point: null, text: String(error) }],
    }));
  }

  /** Ends `victims` while rounds are asked for, and waits for the answer of the last one. */
  async #killAmidRounds(victims: readonly RealNode[]): Promise<void> {
    const running = { stop: false };
    const rounds = this.#roundsUntil(running);
    await sleep(this.#random.below(RUN_MS_MAX));
    running.stop = true;
    await Promise.all(victims.map((victim) => victim.kill('SIGKILL')));
    await rounds;
  }

  async #bringBackPrimary(): Promise<void> {
    const { a } = this.#pair;
    for (const guest of this.#guests) await guest.lost();
    await a.hastd();
    await a.control.role('vm1', { role: 'primary', acceptLoss: false });
    await this.#startGuests();
  }

  async #bringBackReplica(): Promise<void> {
    const { b } = this.#pair;
    await b.hastd();
    await b.control.role('vm1', { role: 'secondary', acceptLoss: false });
    await this.#standsAtAPoint();
  }

  /** W4: without the replica, guests have answers all the same. */
  async #guestsGoOn(): Promise<void> {
    for (const guest of this.#guests) {
      const before = guest.answers;
      for (let waitedMs = 0; guest.answers === before; waitedMs += POLL_MS) {
        assert.ok(waitedMs < ANSWER_MS_MAX, 'a guest waits for the replica');
        await sleep(POLL_MS);
      }
    }
  }

  async #startGuests(): Promise<void> {
    for (const guest of this.#guests) await guest.start(this.#pair.a.nbdSocket);
  }
}

/** The whole disk vm1 as NBD clients of `node` read it. */
async function readExport(node: RealNode): Promise<Buffer> {
  const client = await Client.open({ path: node.nbdSocket }, 'vm1');
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < SIZE; offset += MIB) {
    const length = Math.min(MIB, SIZE - offset);
    const { error, data } = await client.ask({ type: CMD.READ, offset, length });
    assert.equal(error, 0);
    pieces.push(Buffer.from(data));
  }
  client.socket.destroy();
  return Buffer.concat(pieces);
}

const LOG_LINES_SHOWN = 25;
const tail = (node: RealNode): string =>
  `--- ${node.name}\n${node.log().trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n')}`;
