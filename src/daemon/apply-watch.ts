// After a commit: waits until the target has the point in its disk, for status and for whoever
// waits for it. Only the target's own word that it cannot is an error of the target; a link that is
// lost meanwhile is none, the next contact tells.
import { codeOf } from '../base/errors.js';
import type { PointRef } from '../lineage/lineage.js';
import type { DriverLink } from './target-link.js';

export class ApplyWatch {
  readonly #link: Pick<DriverLink, 'get' | 'again'>;
  readonly #refused: (error: unknown) => void;
  #waiting = 0;
  #failed = false;

  /** `refused` is told why the target cannot write a point to its disk. */
  constructor(link: Pick<DriverLink, 'get' | 'again'>, refused: (error: unknown) => void) {
    this.#link = link;
    this.#refused = refused;
  }

  /** A point is committed and not yet known to be in the target's disk. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /** The target said of its last point that it cannot write it to its disk. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Resolves when the point is in the target's disk. It need not be waited for. */
  watch(point: PointRef): Promise<void> {
    this.#waiting += 1;
    const applied = this.#applied(point).finally(() => {
      this.#waiting -= 1;
    });
    applied.then(
      () => {
        this.#failed = false;
      },
      (error: unknown) => {
        if (codeOf(error) !== 'TARGET_REFUSED') return;
        this.#failed = true;
        this.#refused(error);
      },
    );
    return applied;
  }

  /** Asks on the session there is, and once more on the next one. */
  async #applied(point: PointRef): Promise<void> {
    const { target } = await this.#link.get();
    await target.applied(point).catch(async (error: unknown) => {
      if (codeOf(error) !== 'TARGET_LOST') throw error;
      await (await this.#link.again(target)).applied(point);
    });
  }
}
