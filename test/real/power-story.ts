// A story of power cuts: disk and state of one side are on an ext4 whose disk keeps any part of
// what was not flushed, torn at 512 bytes (power.ts). Power fails at seeded moments while guests
// write and flush and rounds run; then it is back, with another boot id. The sender's disk has
// every write whose flush or FUA was answered (W3); a replica stands at a whole point, no older
// than the one that was answered for (D2, C1); the next round makes both disks equal (H6). With
// `lies` its hastd says "durable" of everything and keeps nothing: then all this must be found out.
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { type BadSector, checkSectors } from '../consistency/check-sectors.js';
import { needTool } from '../real.js';
import { makePair, type RealNode } from './nodes.js';
import { type PowerDisk, powerDisk } from './power.js';
import { create, round, takeRole, until } from './steps.js';
import { tail, Watched } from './watched.js';

const SIZE = 12 * MIB + 512;
/** Where guests write: three extents of seven. */
const WRITTEN_BYTES = 6 * MIB;
const WRITTEN_EXTENTS = 3;
/** Of the file system: the disk, the state, staged rounds and four undos. */
const DISK_BYTES = 128 * MIB;
const RUN_MS_MAX = 1200;
const PAUSE_MS = 50;
/** What a round of either side comes to, and more: each step of both ladders has its cuts. */
const FLUSHES_MAX = 40;
const SWALLOW_SYNC = join(import.meta.dirname, 'swallow-sync.js');
const SEEDS = 2 ** 31;

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
    watched = new Watched(a, WRITTEN_BYTES, tale.seed + 1000 * cut, after.image);
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

/** What a cut of the primary's power has left. */
interface Aftermath {
  /** What a power failure cannot leave. */
  readonly bad: readonly BadSector[];
  /** Blocks that lost answered writes. */
  readonly lost: number;
  readonly image: Buffer;
}

class Scene {
  readonly a: RealNode;
  readonly b: RealNode;
  readonly random: Random;
  readonly #on: RealNode;
  readonly #disk: PowerDisk;
  readonly #bootFile: string;
  readonly #metaflush: boolean;
  #boots = 0;

  private constructor(
    { a, b, on, folder }: { a: RealNode; b: RealNode; on: RealNode; folder: string },
    disk: PowerDisk,
    tale: { metaflush: string; seed: number },
  ) {
    [this.a, this.b, this.#on, this.#disk] = [a, b, on, disk];
    this.random = seededRandom(tale.seed);
    this.#bootFile = join(folder, 'boot-id');
    this.#metaflush = tale.metaflush === 'on';
  }

  /** A pair, a primary; disk and state of `which` are on the disk. Null after skipping. */
  static async begin(
    t: TestContext,
    which: 'a' | 'b',
    tale: { metaflush: string; seed: number; lies?: boolean },
  ): Promise<Scene | null> {
    t.diagnostic(`HAST_SEED=${tale.seed}`);
    const config = `interval 1h  timeout 3s  retain 4  metaflush ${tale.metaflush}`;
    const pair = await makePair(t, { sizeBytes: SIZE, config, hastdArgs: ['-d'] });
    if (!needTool(t, 'unshare')) return null;
    const disk = await powerDisk(t, DISK_BYTES, 'torn');
    if (disk === null) return null;
    const { folder, a, b } = pair;
    const on = pair[which];
    const moved = readFileSync(pair.config, 'utf8')
      .replace(`statedir ${folder}/${which} `, `statedir ${disk.folder}/${which} `)
      .replace(`local ${folder}/${which}.img `, `local ${disk.folder}/${which}.img `);
    writeFileSync(pair.config, moved);
    symlinkSync(join(disk.folder, `${which}.img`), on.image);
    const scene = new Scene({ a, b, on, folder }, disk, tale);
    scene.#boot();
    await Promise.all([a.hastd(), b.hastd()]);
    await create(a, SIZE);
    await create(b);
    await takeRole(b, 'secondary');
    await takeRole(a, 'primary');
    if (tale.lies) await scene.#beginsToLie();
    return scene;
  }

  /** The primary's power fails. */
  async cutUnderGuests(watched: Watched): Promise<Aftermath> {
    await watched.startGuests();
    const stop = watched.rounds(PAUSE_MS);
    await flushed(watched);
    await this.#fails(this.random.below(RUN_MS_MAX));
    await stop();
    await watched.lostGuests();
    const image = readFileSync(this.a.image);
    const fua = new Set(watched.guests.flatMap((guest) => [...guest.fua]));
    const flushedAt = Math.max(...watched.guests.map((guest) => guest.flushedAt));
    const bad = checkSectors(image, watched.log, { flushedAt, fua });
    const durable = { flushedAt: watched.log.stamp(), fua };
    const lost = new Set(checkSectors(image, watched.log, durable).map(({ block }) => block)).size;
    return { bad, lost, image };
  }

  /** The replica's power fails. `answered`: the last point that the primary knows of. */
  async cutUnderRounds(watched: Watched) {
    const numberOf = async () => (await this.a.control.points('vm1')).points.at(-1)?.number ?? 0;
    const before = await numberOf();
    await watched.startGuests();
    const stop = watched.rounds(PAUSE_MS);
    await until('a round is committed', async () => (await numberOf()) > before);
    await sleep(this.random.below(RUN_MS_MAX));
    await this.#fails(0);
    const answered = await numberOf();
    return { answered, stop };
  }

  /** What hastd said of its maps. With metaflush it believes them, and nothing else is compared. */
  async primaryAgain(): Promise<string> {
    const logged = this.a.log().length;
    await this.a.hastd();
    await takeRole(this.a, 'primary', { alone: true });
    if (!this.#metaflush) return 'all compared';
    const said = this.a.log().slice(logged);
    if (/"contact":"fill"/.test(said)) return 'no point yet';
    assert.doesNotMatch(said, /everything is compared/, said);
    const extents = Number(/"extents":(\d+)/.exec(said)?.[1]);
    assert.ok(extents <= WRITTEN_EXTENTS, `${extents} extents\n${said}`);
    return `${extents} extents in doubt`;
  }

  /** The number of its point. */
  async replicaAgain(watched: Watched, answered: number): Promise<number> {
    await this.b.hastd();
    await takeRole(this.b, 'secondary');
    const seen = await watched.seen(this.b);
    assert.ok(seen !== null && seen.number >= answered, 'what was answered for is durable');
    return seen.number;
  }

  survived(): string {
    const { unflushed, survived } = this.#disk.survived ?? {};
    return `${survived} of ${unflushed} sectors survive`;
  }

  /** Everything stops within one turn; then the power is back. */
  async #fails(afterMs: number): Promise<void> {
    await sleep(afterMs);
    const flushes = this.random.below(4) === 0 ? 0 : 1 + this.random.below(FLUSHES_MAX);
    const { pid } = this.#on;
    assert.ok(pid !== undefined);
    await this.#disk.cutWith(pid, flushes, this.random.below(SEEDS));
    await this.#on.kill('SIGKILL');
    await this.#disk.off();
    await this.#disk.on();
    this.#boot();
  }

  /** All that was is durable; from now on nothing is. */
  async #beginsToLie(): Promise<void> {
    await round(this.a);
    await this.#on.kill('SIGTERM');
    this.#on.launcher = [...this.#on.launcher, 'env', `NODE_OPTIONS=--import=${SWALLOW_SYNC}`];
    await this.#on.hastd();
    await takeRole(this.#on, this.#on === this.a ? 'primary' : 'secondary');
  }

  /** What starts from now on runs in another boot of the machine. */
  #boot(): void {
    this.#boots += 1;
    const tail = String(this.#boots).padStart(12, '0');
    writeFileSync(this.#bootFile, `00000000-0000-4000-8000-${tail}\n`);
    const script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';
    this.#on.launcher = ['unshare', '--mount', 'sh', '-c', script, this.#bootFile];
  }
}

async function flushed({ guests }: Watched): Promise<void> {
  const some = async () => guests.some(({ flushedAt }) => Number.isFinite(flushedAt));
  await until('a flush is answered', some);
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
