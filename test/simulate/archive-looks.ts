// What is looked at of a run's archive, and what comes to it in tender moments: a point, an epoch
// or a head is being put, a pin is being looked for, a point or its packs are being removed. Kinds
// of faults are those of the run's own acts. Times are milliseconds of the run.
import { Archive } from '../../src/archive/archive.js';
import { describeError } from '../../src/base/errors.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import type { KeptPoint } from '../../src/format/archive-objects.js';
import { keptOf } from '../../src/restore/archive-source.js';
import type { Act } from './acts.js';
import { chainTrue, lastTrue, pointTrue, type Reading } from './archive-judge.js';
import { Broken } from './broken.js';
import type { Asked, Bucket } from './bucket.js';
import { begin } from './perform.js';
import type { Run } from './run.js';
import { archiveUrl, OFFSITE } from './setup.js';

/** One tender request in so many is met. */
const MET_ONE_IN = 5;
const PIN_MET_ONE_IN = 2;
const TENDER = /^(put (points|epochs|head|pins)|remove (points|packs|pins)|get pins)/;
const DOWNS = [0, 10, 200, 8000];
const BLOWS = ['crash', 'crash', 'promote', 'store', 'pin', 'pin', 'unpin', 'restore', 'prune'];

export class ArchiveLooks {
  readonly bucket: Bucket;
  /** Times that an operator has given it another url. */
  generation = 0;
  /** Points that somebody was told are pinned, by name. */
  readonly pins = new Map<string, KeptPoint>();
  readonly #run: Run;
  readonly #random: Random;

  constructor(run: Run, bucket: Bucket) {
    this.#run = run;
    this.bucket = bucket;
    this.#random = seededRandom(run.setup.seed + 23);
    bucket.onAsked = (asked) => this.#meets(asked);
  }

  get url(): string {
    return archiveUrl(this.generation);
  }

  /** As it stands, aside; null: there is none. */
  opened(): Promise<Archive | null> {
    return Archive.open(this.bucket.look(this.url), this.bucket.secret);
  }

  /** Its objects are those of this moment; nothing of the run goes on before it is over. */
  look(what: string, which: 'some' | 'all'): void {
    this.#run.beside(this.judge(what, which));
  }

  async judge(what: string, which: 'some' | 'all'): Promise<void> {
    const run = this.#run;
    try {
      const archive = await this.opened();
      const last = await lastTrue(run.truth, archive, what);
      if (archive === null || last === null) return;
      await chainTrue(run.truth, archive, [...this.bucket.objectsOf(this.url).keys()]);
      const [newest, ...kept] = keptOf(last);
      const chosen = which === 'all' ? kept : kept.slice(this.#random.below(kept.length + 1), 1);
      const pinned = which === 'all' ? [...this.pins.values()] : [];
      for (const point of [newest, ...chosen, ...pinned]) {
        if (point === undefined) continue;
        const how: Reading = this.#random.below(2) === 0 ? 'chunks' : 'regions';
        await pointTrue(run.truth, archive, point, how, what);
        run.counts.points += 1;
      }
    } catch (error) {
      if (error instanceof Broken) throw error;
      throw new Broken(`Q1: ${what}: the archive cannot be read: ${describeError(error)}`);
    }
  }

  /** The archive cannot go on: an operator gives it another url. */
  another(): void {
    this.generation += 1;
    this.pins.clear();
    this.#run.truth.forget(OFFSITE);
    this.#run.say(`the archive goes on at ${this.url}`);
  }

  #meets({ by, request, key }: Asked): void {
    const run = this.#run;
    if (!run.busy || !TENDER.test(`${request} ${key}`)) return;
    const oneIn = request === 'get' ? PIN_MET_ONE_IN : MET_ONE_IN;
    if (this.#random.below(oneIn) > 0) return;
    const host = run.machines.findIndex(({ name }) => name === by.name);
    const blow = this.#blow(host);
    const act = blow?.kind === 'pin' && key.startsWith('pins/') ? { ...blow, key } : blow;
    if (act === null || !run.setup.acts.some(({ kind }) => kind === act.kind)) return;
    const withinMs = 2 * this.bucket.setup.requestMsMax;
    run.loop.at((this.#random.below(1000) / 1000) * withinMs, null, () => begin(run, act));
  }

  #blow(host: number): Act | null {
    const random = this.#random;
    const common = { seed: random.below(2 ** 31), gapMs: 0 };
    const downMs = DOWNS[random.below(DOWNS.length)] ?? 0;
    const kind = BLOWS[random.below(BLOWS.length)];
    switch (kind) {
      case 'crash': {
        const loss = (['none', 'none', 'all', 'seeded'] as const)[random.below(4)] ?? 'all';
        return { ...common, kind, host, loss, steps: 1, downMs, quiet: false, now: true };
      }
      case 'promote': {
        const other = random.below(this.#run.machines.length);
        return { ...common, kind, host: other, orderly: false };
      }
      case 'store': {
        const what = (['outage', 'storm', 'lost answers'] as const)[random.below(3)] ?? 'storm';
        return { ...common, kind, what, ms: 1 + random.below(8000) };
      }
      case 'pin':
      case 'unpin':
      case 'restore':
      case 'prune':
        return { ...common, kind };
      default:
        return null;
    }
  }
}
