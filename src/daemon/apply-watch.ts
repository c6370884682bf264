// Whether the target has its last point in its disk, for status and for whoever waits for it. A
// point is committed before it is applied, and what hangs, fails or is lost between the two must
// not look well: what the target has not said it has is not known to be there. So it is owed from
// the commit on, and from the start of the role on, until the target has said so; while it is, each
// new session is asked. Only the target's own word that it cannot is an error of the target; a link
// that is lost meanwhile is none.
import type { Clock } from '../base/clock.js';
import { codeOf } from '../base/errors.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { Target } from '../target/target.js';
import type { DriverLink } from './target-link.js';

/** A link tells nobody of a new session: it is looked for so often. */
const LOOK_MS = 1000;

export interface ApplyWatchParts {
  readonly link: Pick<DriverLink, 'get' | 'again' | 'current'>;
  /** The last point that the target has committed; null: none. */
  readonly point: () => PointRef | null;
  readonly clock: Clock;
  /** Told why the target cannot write a point to its disk. */
  readonly refused: (error: unknown) => void;
}

export class ApplyWatch {
  readonly #parts: ApplyWatchParts;
  #waiting = 0;
  #failed = false;
  /** Id of the last point that the target has said is in its disk. */
  #applied: Uint8Array | null = null;
  /** The session that was asked last. */
  #asked: Target | null = null;

  constructor(parts: ApplyWatchParts) {
    this.#parts = parts;
  }

  /** The last point, if it is not known to be in the target's disk. */
  get owed(): PointRef | null {
    const point = this.#parts.point();
    return sameId(point?.id, this.#applied) ? null : point;
  }

  /** The target said of its last point that it cannot write it to its disk. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Resolves when the point is in the target's disk. It need not be waited for. */
  watch(point: PointRef): Promise<void> {
    this.#waiting += 1;
    const applied = this.#ask(point).finally(() => {
      this.#waiting -= 1;
    });
    applied.then(
      () => {
        this.#failed = false;
        if (sameId(point.id, this.#parts.point()?.id)) this.#applied = point.id;
      },
      (error: unknown) => {
        if (codeOf(error) !== 'TARGET_REFUSED') return;
        this.#failed = true;
        this.#parts.refused(error);
      },
    );
    return applied;
  }

  /** Asks each new session for what is owed, until `signal` is aborted. Never rejects. */
  async keepAsking(signal: AbortSignal): Promise<void> {
    const { link, clock } = this.#parts;
    while (!signal.aborted) {
      const { owed } = this;
      const isNew = link.current !== null && link.current !== this.#asked;
      if (owed !== null && isNew && this.#waiting === 0) {
        await this.watch(owed).catch(() => undefined);
      }
      await clock.sleep(LOOK_MS, signal);
    }
  }

  /** Asks on the session there is, and once more on the next one. */
  async #ask(point: PointRef): Promise<void> {
    const { link } = this.#parts;
    const { target } = await link.get();
    this.#asked = target;
    await target.applied(point).catch(async (error: unknown) => {
      if (codeOf(error) !== 'TARGET_LOST') throw error;
      this.#asked = await link.again(target);
      await this.#asked.applied(point);
    });
  }
}
