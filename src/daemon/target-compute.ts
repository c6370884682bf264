// The compute workers with one target's compression, which a reload of the configuration may change
// under a running round: a frame is packed as it is at that moment, and says how itself.
import type { Compute } from '../format/compute.js';
import type { Compression } from '../format/pack.js';
import type { ComputePool } from './compute-pool.js';

export class TargetCompute implements Compute {
  readonly #pool: ComputePool;
  #now: Compute;

  constructor(pool: ComputePool, compression: Compression) {
    this.#pool = pool;
    this.#now = pool.for(compression);
  }

  use(compression: Compression): void {
    this.#now = this.#pool.for(compression);
  }

  digests: Compute['digests'] = (bytes, lengths) => this.#now.digests(bytes, lengths);

  frame: Compute['frame'] = (number, entries, blocks) => this.#now.frame(number, entries, blocks);
}
