// One chunk of the replica's disk as of its point, for a primary that cannot read its own (H20,
// H21). Handed out only if the replica stands exactly where it was asked for, and what was read is
// what the table says (Q1).
import { digestOf, equalBytes } from '../base/digest.js';
import { CHUNK_BYTES, type ChunkIndex, chunkLength } from '../base/units.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import { admitRange } from './admit.js';
import { refusal } from './parts.js';
import type { Replica } from './replica.js';

/** Null: it stands elsewhere, or the chunk is not what it should be. Error TARGET_REFUSED for a
 * chunk beyond the disk. */
export async function wholeChunk(
  replica: Replica,
  chunk: ChunkIndex,
  at: PointRef,
): Promise<Uint8Array | null> {
  const { state } = replica.parts.resourceFile;
  const refused = admitRange(state, chunk, 1);
  if (refused !== null) throw refusal(state, refused.reason, refused.text);
  await replica.idle();
  const stands = (): boolean =>
    sameId(replica.record.point?.id, at.id) && sameId(replica.table.point?.id, at.id);
  if (!stands()) return null;
  const bytes = new Uint8Array(chunkLength(chunk, replica.parts.resourceFile.state.sizeBytes));
  await replica.device.read(chunk * CHUNK_BYTES, bytes);
  const known = replica.table.get(chunk);
  const whole = stands() && known !== null && equalBytes(digestOf(bytes), known);
  return whole ? bytes : null;
}
