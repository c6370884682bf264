// The arithmetic of a backup of fixed objects of 4 MiB, as several programs make it: one object for
// each 4 MiB of the disk that has content, or has changed; zstd -3 each, and one index. Nobody runs
// it: objects and bytes are counted from the images, without seconds.
import { closeSync, openSync, readSync } from 'node:fs';
import { Compressor } from 'zstd-napi';
import { isZero } from '../src/base/digest.js';
import { MIB } from '../src/base/units.js';

const OBJECT_BYTES = 4 * MIB;
/** The list of objects. */
const INDEX_OBJECTS = 1;

export interface Fixed {
  readonly objects: number;
  readonly storedBytes: number;
}

/** What a backup of `now` would cost; `before`: the image of the last one, null for the first. */
export function fixedObjects(now: string, before: string | null, diskBytes: number): Fixed {
  const compressor = new Compressor();
  compressor.setParameters({ compressionLevel: 3 });
  const fds = [openSync(now, 'r'), ...(before === null ? [] : [openSync(before, 'r')])];
  const pieces = fds.map(() => Buffer.alloc(OBJECT_BYTES));
  let [objects, storedBytes] = [INDEX_OBJECTS, 0];
  try {
    for (let at = 0; at < diskBytes; at += OBJECT_BYTES) {
      const [content, old] = pieces.map((piece, which) =>
        piece.subarray(0, readSync(fds[which] ?? -1, piece, 0, OBJECT_BYTES, at)),
      );
      if (content === undefined || (old === undefined ? isZero(content) : content.equals(old))) {
        continue;
      }
      objects += 1;
      storedBytes += compressor.compress(content).length;
    }
  } finally {
    for (const fd of fds) closeSync(fd);
  }
  return { objects, storedBytes };
}
