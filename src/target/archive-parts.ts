// What an archive is as a target: handed in by who opens it (open-archive.ts).
import type { Archive } from '../archive/archive.js';
import type { Random } from '../base/random.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import type { Pack } from '../format/pack.js';
import type { ObjectStore } from '../store/store.js';
import type { PruningParts } from './archive-pruning.js';

export interface ArchiveTargetParts extends PruningParts {
  readonly name: string;
  readonly place: string;
  /** Opens the archive of this resource, making it where there is none. */
  readonly make: (resource: Uint8Array) => Promise<Archive>;
  readonly archive: Archive | null;
  /** Its newest point, as was just found. */
  readonly last: ArchivePoint | null;
  /** Others have made points, or an answer was lost, since this node was here last. */
  readonly moved: boolean;
  /** Of nodes of the index. */
  readonly pack: Pack;
  readonly store: ObjectStore;
  readonly random: Random;
  readonly packBytes?: number;
}
