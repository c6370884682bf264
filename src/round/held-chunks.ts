// What the target still has staged from earlier rounds, window by window: asked for only where
// there are dirty chunks, the next window while this one is worked on, so that no window waits a
// round trip (D5). Once a window of a target that was asked says nothing anywhere, asking goes on:
// chunks staged later in the disk may be all there is.
import { type ChunkIndex, chunkCount } from '../base/units.js';
import type { FrameEntry } from '../format/changeset.js';
import type { Target } from '../target/target.js';
import type { BlockMap } from '../tracking/block-map.js';
import { WINDOW_CHUNKS } from './known-digests.js';

export interface HeldChunks {
  /** How the target has a chunk staged, or null. Ask in ascending order. */
  of(chunk: ChunkIndex): Promise<FrameEntry | null>;
}

interface Window {
  readonly first: ChunkIndex;
  readonly entries: Promise<ReadonlyMap<ChunkIndex, FrameEntry>>;
}

/** `map`: the chunks that will be asked for. */
export function heldChunks(target: Target, map: BlockMap, sizeBytes: number): HeldChunks {
  let now: Window | null = null;
  let next: Window | null = null;
  const open = (first: ChunkIndex): Window => {
    const count = Math.min(WINDOW_CHUNKS, chunkCount(sizeBytes) - first);
    const entries = target
      .held(first, count)
      .then((list) => new Map(list.map((entry) => [entry.chunk, entry])));
    entries.catch(() => undefined);
    return { first, entries };
  };
  const windowOf = (chunk: ChunkIndex): ChunkIndex => chunk - (chunk % WINDOW_CHUNKS);
  return {
    of: async (chunk) => {
      const first = windowOf(chunk);
      if (now?.first !== first) {
        now = next?.first === first ? next : open(first);
        const following = map.nextChunk(first + WINDOW_CHUNKS);
        next = following < 0 ? null : open(windowOf(following));
      }
      return (await now.entries).get(chunk) ?? null;
    },
  };
}
