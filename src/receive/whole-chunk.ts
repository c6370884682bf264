// One chunk of the replica's disk as of its point, for a primary that cannot read its own (H20,
// H21). Handed out only if the replica stands exactly where it was asked for; whether it is what
// was once sent is for the primary to find out, by its own digest. This table may be lost, or know
// of a change of the disk: what the disk has is all there is, and the primary says how sure it is
// of it.
import { CHUNK_BYTES, type ChunkIndex, chunkCount, chunkLength } from '../base/units.js';
import { DiskError } from '../disk/device.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { Replica } from './replica.js';

/** Null: it stands elsewhere, or the disk cannot read it either, or ends before it. */
export async function wholeChunk(
  replica: Replica,
  chunk: ChunkIndex,
  at: PointRef,
): Promise<Uint8Array | null> {
  await replica.idle();
  const stands = (): boolean => replica.isOpen && sameId(replica.record.point?.id, at.id);
  const { sizeBytes } = replica.parts.resourceFile.state;
  if (!stands() || chunk >= chunkCount(sizeBytes)) return null;
  const bytes = new Uint8Array(chunkLength(chunk, sizeBytes));
  try {
    await replica.device.read(chunk * CHUNK_BYTES, bytes);
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return null;
  }
  return stands() ? bytes : null;
}
