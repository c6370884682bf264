// One chunk of the replica's disk as of its point, for a primary that cannot read its own (H20,
// H21). Handed out only if the replica stands exactly where it was asked for; whether it is what was
// once sent is for the primary to find out, by its own digest. This table may be lost, or know of a
// change of the disk: what the disk has is all there is, and the primary says how sure it is of it.
import { CHUNK_BYTES, type ChunkIndex, chunkLength } from '../base/units.js';
import { DiskError } from '../disk/device.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import { admitRange } from './admit.js';
import { refusal } from './parts.js';
import type { Replica } from './replica.js';

/** Null: it stands elsewhere, or the disk cannot read it either. Error TARGET_REFUSED for a chunk
 * beyond the disk. */
export async function wholeChunk(
  replica: Replica,
  chunk: ChunkIndex,
  at: PointRef,
): Promise<Uint8Array | null> {
  const { state } = replica.parts.resourceFile;
  const refused = admitRange(state, chunk, 1);
  if (refused !== null) throw refusal(state, refused.reason, refused.text);
  await replica.idle();
  const stands = (): boolean => replica.isOpen && sameId(replica.record.point?.id, at.id);
  if (!stands()) return null;
  const bytes = new Uint8Array(chunkLength(chunk, replica.parts.resourceFile.state.sizeBytes));
  try {
    await replica.device.read(chunk * CHUNK_BYTES, bytes);
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return null;
  }
  return stands() ? bytes : null;
}
