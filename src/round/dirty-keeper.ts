// The maps on disk: publishes TARGET.dirty at cuts, commits and checkpoints, and clears intent
// bits once a checkpoint is durable (H9, ladder steps 3 and 9). One per resource; publications of
// one resource never overlap, so a file never loses bits that a later state still has.
import type { Files } from '../base/files.js';
import { Mutex } from '../base/sync.js';
import { publishDirty } from '../tracking/dirty-map.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import type { IntentOwner } from '../volume/intent.js';
import type { FrozenSet, Volume } from '../volume/volume.js';

export interface DirtyParts {
  readonly files: Files;
  readonly resourceFile: ResourceFile;
  readonly volume: Volume;
  readonly intent: IntentOwner;
  /** Target names by slot. */
  readonly targets: readonly string[];
  readonly resource: Uint8Array;
}

export class DirtyKeeper {
  readonly #parts: DirtyParts;
  readonly #order = new Mutex();
  #published = 0;

  constructor(parts: DirtyParts) {
    this.#parts = parts;
  }

  /** The generation of resource.json that every TARGET.dirty was published under, or a later one:
   * an older file is one of which a write was lost. */
  get published(): number {
    return this.#published;
  }

  /** TARGET.dirty := frozen + pending for every target (ladder step 3). */
  publishAll(): Promise<void> {
    return this.#order.run(async () => {
      const { generation } = this.#parts.resourceFile.state;
      for (let slot = 0; slot < this.#parts.targets.length; slot += 1) await this.#publish(slot);
      this.#published = generation;
    });
  }

  /** Ladder step 9: TARGET.dirty := pending only, published; only then the bits are dropped. */
  async drop(slot: number, frozen: FrozenSet): Promise<void> {
    await this.#order.run(async () => {
      await this.#publish(slot, [this.#parts.volume.pending(slot)]);
      await frozen.end('drop');
    });
  }

  /** The bits of a failed round go back to pending; what is published stays true meanwhile. */
  async merge(frozen: FrozenSet): Promise<void> {
    await this.#order.run(() => frozen.end('merge'));
  }

  /** At least once a minute: marks of the live map become part of every TARGET.dirty, then intent
   * bits of extents not written since are cleared. 'busy': the gate could not close. */
  async checkpoint(): Promise<'done' | 'busy'> {
    const { volume, intent } = this.#parts;
    const checkpoint = await volume.checkpoint();
    if (checkpoint === 'busy') return 'busy';
    await this.publishAll();
    await volume.betweenCuts(async () => {
      if (volume.swaps === checkpoint.swaps) intent.clearCold();
    });
    return 'done';
  }

  #publish(slot: number, maps = this.#parts.volume.maps(slot)): Promise<void> {
    const { files, resourceFile, targets, resource } = this.#parts;
    const path = `${resourceFile.directory}/${targets[slot]}.dirty`;
    const { generation } = resourceFile.state;
    return publishDirty(files, path, { resource, generation }, maps);
  }
}
