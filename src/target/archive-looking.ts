// Looks at the packs of an archive while it is a target (archive/look-pass.ts): beside its rounds,
// in no order with them, for it only reads. What of the newest point stands in damaged packs is
// noted, so that the next round sends it whole (archive-standing.ts). Guarantee: after `stop` has
// resolved nothing of it runs.
import type { Archive } from '../archive/archive.js';
import { type LookResult, lookAtPacks } from '../archive/look-pass.js';
import type { Looks } from '../archive/looks.js';
import type { Log } from '../base/log.js';
import type { Standing } from './archive-standing.js';
import { type LookOrder, TargetError } from './target.js';

/** In the log, one by one. */
const NAMED_MAX = 16;

export class ArchiveLooking {
  readonly #name: string;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  /** Damaged packs whose chunks were looked for on this session. */
  readonly #rechecked = new Set<string>();

  /** `name`: of the target. */
  constructor(name: string, log: Log) {
    this.#name = name;
    this.#log = log;
  }

  /** Null: there is no point. `standing`: asked when it is needed, for rounds go on. Errors of the
   * store and the file; TARGET_LOST after `stop`. */
  run(
    archive: Archive | null,
    standing: () => Standing | null,
    looks: Looks,
    order: LookOrder,
  ): Promise<LookResult | null> {
    const running = this.#run(archive, standing, looks, order).catch((error: unknown) => {
      if (!this.#stop.signal.aborted) throw error;
      const text = 'it was closed here';
      throw new TargetError({ code: 'TARGET_LOST', target: this.#name, text });
    });
    this.#running = running.catch(() => undefined);
    return running;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(
    archive: Archive | null,
    standing: () => Standing | null,
    looks: Looks,
    { turn, ...order }: LookOrder,
  ): Promise<LookResult | null> {
    const last = standing()?.point ?? null;
    if (archive === null || last === null) return null;
    if (!looks.bind(archive.identity.id)) {
      this.#log.warn('what was verified is of another archive, and is forgotten', {
        path: looks.path,
      });
    }
    const { signal } = this.#stop;
    const ownTurn = async (): Promise<void> => {
      await turn(signal);
      signal.throwIfAborted();
    };
    const onProgress = (): void => {};
    const options = { ...order, signal, turn: () => turn(signal), onProgress };
    const result = await lookAtPacks(archive, last, looks, options);
    const fresh = result.damaged.filter(({ name }) => !this.#rechecked.has(name));
    for (const { place, why, points } of [...result.tables, ...fresh].slice(0, NAMED_MAX)) {
      this.#log.error('a pack of the archive is damaged', { place, why, points: points.join(' ') });
    }
    if (fresh.length === 0) return result;
    const found = await standing()?.recheck(new Set(fresh.map(({ name }) => name)), ownTurn);
    for (const { name } of fresh) this.#rechecked.add(name);
    this.#log.error('packs of the archive are damaged', { packs: fresh.length, ...found });
    return result;
  }
}
