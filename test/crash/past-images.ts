// Old points of a pair's replica as its readers give them, against the images of the cuts.
import assert from 'node:assert/strict';
import { CHUNK_BYTES, chunkCount, chunkLength } from '../../src/base/units.js';
import type { PointEntry } from '../../src/format/resource-state.js';
import type { ReplicaPoint } from '../../src/history/point-reader.js';
import { same } from './checks.js';
import type { Pair } from './pair.js';

/** The whole disk as of the point, `wait` before each chunk. */
export async function imageOf(
  reader: ReplicaPoint,
  wait: () => Promise<void> = async () => {},
): Promise<Uint8Array> {
  const image = new Uint8Array(reader.sizeBytes);
  for (let chunk = 0; chunk < chunkCount(image.length); chunk += 1) {
    await wait();
    const bytes = await reader.chunk(chunk);
    if (bytes === null) continue;
    assert.equal(bytes.length, chunkLength(chunk, image.length));
    image.set(bytes, chunk * CHUNK_BYTES);
  }
  return image;
}

export const entryOf = (pair: Pair, number: number): PointEntry => {
  const found = pair.replicaNode.replica.record.chain.find(({ point }) => point.number === number);
  assert.ok(found !== undefined, `point ${number} is retained`);
  return found;
};

/** Every retained point, read at once and compared. */
export async function allTrue(pair: Pair, wait?: () => Promise<void>): Promise<number> {
  const { readers, record } = pair.replicaNode.replica;
  const opened = record.chain.map((entry) => readers.open(entry));
  await Promise.all(
    opened.map(async (reader) => {
      try {
        const { point } = reader.entry;
        same(await imageOf(reader, wait), pair.cutOf(point).image, `read at point ${point.number}`);
      } finally {
        await reader.close();
      }
    }),
  );
  return opened.length;
}
