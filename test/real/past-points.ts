// The points that a replica keeps, as images: its disk at the last one, taken back by one undo
// after the other. For small disks: one whole image in memory. Sizes are bytes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { nodeFiles } from '../../src/base/node-files.js';
import type { PointRecord } from '../../src/control/api.js';
import { reserveSpace } from '../../src/disk/syscalls.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { decodeFrame } from '../../src/format/frame.js';
import { blockSpans } from '../../src/format/frame-spans.js';
import { unpack } from '../../src/format/pack.js';
import type { RealNode } from './nodes.js';

export interface PastPoint {
  readonly point: PointRecord;
  /** Changes when the next one is asked for. */
  readonly image: Buffer;
}

/** Newest first. `directory`: the state of the resource. The replica must be still. */
export async function* pastPoints(replica: RealNode, directory: string): AsyncGenerator<PastPoint> {
  const { points } = await replica.control.points('vm1');
  let image = readFileSync(replica.image);
  for (const [index, point] of points.toReversed().entries()) {
    if (index > 0) await takeBack(image, `${directory}/undo-${point.id}`);
    image = image.subarray(0, point.sizeBytes);
    yield { point, image };
  }
}

async function takeBack(image: Buffer, path: string): Promise<void> {
  const handle = await nodeFiles(reserveSpace).open(path, 'read');
  try {
    const undo = await openChangeset(handle);
    assert.equal(undo.header.kind, 'undo');
    const { sizeBytes } = undo.header;
    for await (const stored of undo.frames()) {
      const frame = decodeFrame(stored.bytes, path, unpack, sizeBytes);
      for (const { offset, length, bytes } of blockSpans(frame, sizeBytes)) {
        if (bytes === null) image.fill(0, offset, offset + length);
        else image.set(bytes, offset);
      }
    }
  } finally {
    await handle.close();
  }
}
