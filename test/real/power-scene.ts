// The scene of power-story.ts: a pair of nodes, disk and state of one of them on an ext4 whose disk
// keeps any part of what was not flushed (power.ts). Its power fails at a seeded moment, and when
// it is back that node is in another boot of the machine. Sizes are bytes.
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
import { create, listen, round, takeRole, until } from './steps.js';
import type { Watched } from './watched.js';

export const SIZE = 12 * MIB + 512;
/** Where guests write, half of the disk. */
export const WRITTEN_BYTES = 6 * MIB;
/** Small, and few are kept: intent bits go and come in every round. */
const EXTENTS = { extentBytes: 64 * 1024, keepdirty: 2 };
const WRITTEN_EXTENTS = WRITTEN_BYTES / EXTENTS.extentBytes;
/** Of the file system: the disk, the state, staged rounds and four undos. */
const DISK_BYTES = 128 * MIB;
const RUN_MS_MAX = 1200;
const PAUSE_MS = 50;
/** After the second, something is neither flushed nor marked in memory any more. */
const COMMITS_MAX = 3;
/** What a round of either side comes to, and more: each step of both ladders has its cuts. */
const FLUSHES_MAX = 40;
const QUICK_CHECKPOINTS = join(import.meta.dirname, 'quick-checkpoints.js');
const SWALLOW_SYNC = join(import.meta.dirname, 'swallow-sync.js');
const SEEDS = 2 ** 31;

/** What a cut of the primary's power has left. */
export interface Aftermath {
  /** What a power failure cannot leave. */
  readonly bad: readonly BadSector[];
  /** Blocks that lost answered writes. */
  readonly lost: number;
  readonly image: Buffer;
}

export class Scene {
  readonly a: RealNode;
  readonly b: RealNode;
  readonly random: Random;
  readonly #on: RealNode;
  readonly #disk: PowerDisk;
  readonly #bootFile: string;
  readonly #metaflush: boolean;
  #boots = 0;
  /** The primary had a point before its power failed. */
  #hadPoint = false;

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
    await a.control.create('vm1', { ...EXTENTS, mediaBytes: SIZE, force: false });
    await create(b);
    await takeRole(b, 'secondary');
    await takeRole(a, 'primary');
    if (tale.lies) await scene.#beginsToLie();
    return scene;
  }

  /** The primary's power fails. */
  async cutUnderGuests(watched: Watched): Promise<Aftermath> {
    this.#hurry();
    await watched.startGuests();
    const stop = watched.rounds(PAUSE_MS);
    await flushed(watched);
    this.#hadPoint = (await this.#lastNumber()) > 0;
    await this.#fails();
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
    const before = await this.#lastNumber();
    this.#hurry();
    await watched.startGuests();
    const stop = watched.rounds(PAUSE_MS);
    await until('a round is committed', async () => (await this.#lastNumber()) > before);
    await this.#fails();
    const answered = await this.#lastNumber();
    return { answered, stop };
  }

  /** What hastd said of its maps. With metaflush it believes them, and nothing else is compared. */
  async primaryAgain(): Promise<string> {
    const logged = this.a.log().length;
    await this.a.hastd();
    await takeRole(this.a, 'primary', { alone: true });
    if (!this.#metaflush) return 'all compared';
    const said = this.a.log().slice(logged);
    if (!this.#hadPoint && !said.includes('extents in doubt')) return 'no point yet';
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

  /** Of some of what is written, the kernel keeps much in memory; of some, the disk. */
  #hurry(): void {
    const which = [null, '.', this.#on.name, this.#on.name][this.random.below(4)] ?? null;
    this.#disk.hurry(which);
  }

  /** Of the primary's points; 0: there is none. */
  async #lastNumber(): Promise<number> {
    return (await this.a.control.points('vm1')).points.at(-1)?.number ?? 0;
  }

  /** Everything stops within one turn; then the power is back. */
  async #fails(): Promise<void> {
    // By the clock, or just when marks have been dropped and new ones come.
    if (this.random.below(2) === 0) await sleep(this.random.below(RUN_MS_MAX));
    else await this.#commits(1 + this.random.below(COMMITS_MAX));
    const flushes = this.random.below(4) === 0 ? 0 : 1 + this.random.below(FLUSHES_MAX);
    const { pid } = this.#on;
    assert.ok(pid !== undefined);
    await this.#disk.cutWith(pid, flushes, this.random.below(SEEDS));
    await this.#on.kill('SIGKILL');
    await this.#disk.off();
    await this.#disk.on();
    this.#boot();
  }

  async #commits(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 1) await listen(this.a).line(/"round committed"/);
  }

  /** All that was is durable; from now on nothing is. */
  async #beginsToLie(): Promise<void> {
    await round(this.a);
    await this.#on.kill('SIGTERM');
    const preload = `NODE_OPTIONS=--import=${SWALLOW_SYNC}`;
    this.#on.launcher = [...this.#on.launcher, 'env', preload];
    await this.#on.hastd();
    await takeRole(this.#on, this.#on === this.a ? 'primary' : 'secondary');
  }

  /** What starts from now on runs in another boot of the machine. */
  #boot(): void {
    this.#boots += 1;
    const tail = String(this.#boots).padStart(12, '0');
    writeFileSync(this.#bootFile, `00000000-0000-4000-8000-${tail}\n`);
    const script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';
    const preload = ['env', `NODE_OPTIONS=--import=${QUICK_CHECKPOINTS}`];
    this.#on.launcher = ['unshare', '--mount', 'sh', '-c', script, this.#bootFile, ...preload];
  }
}

async function flushed({ guests }: Watched): Promise<void> {
  const some = async () => guests.some(({ flushedAt }) => Number.isFinite(flushedAt));
  await until('a flush is answered', some);
}
