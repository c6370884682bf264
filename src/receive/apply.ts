// Receiver steps 6 to 9: undo, blocks, table, state. Repeatable: each step's result is looked for
// first, and an undo that stands is never written again (H26).
import { present } from '../base/assert.js';
import type { Device } from '../disk/device.js';
import type { ChangesetHeader, ChangesetTotals } from '../format/changeset.js';
import { openChangeset } from '../format/changeset-reader.js';
import { KNOWN_POINTS_MAX, type PointEntry, type ResourceState } from '../format/resource-state.js';
import { recordEntries, undoName, writeBlocks, writeUndo } from '../history/undo.js';
import { pointsToDrop } from '../retention/retain-last.js';
import type { DigestTable } from '../tracking/digest-table.js';
import type { ReplicaParts } from './parts.js';

/** The replica as far as apply needs it: an open disk and its table. */
export interface Applying {
  readonly parts: ReplicaParts;
  readonly directory: string;
  readonly device: Device;
  readonly table: DigestTable;
}

/** Applies the committed file `name`; the replica's state stands at its `from`. */
export async function applyCommitted(replica: Applying, name: string): Promise<void> {
  const { files, resourceFile, fingerprints, retain } = replica.parts;
  const path = `${replica.directory}/${name}`;
  const handle = await files.open(path, 'read');
  let dropped: readonly PointEntry[] = [];
  try {
    const changeset = await openChangeset(handle);
    const { header, totals } = changeset;
    const from = present(header.from, 'a first copy is not staged');
    // 6. Undo.
    const lost = await writeUndo(undoParts(replica), changeset, from);
    if (lost.length > 0) replica.parts.log.warn('chunks of the older point are lost', { lost });
    // 7. Blocks.
    await writeBlocks(replica.device, changeset, path);
    await replica.device.sync();
    // 8. Table.
    await recordEntries(replica.table, changeset, header.to);
    // 9. State.
    const fingerprint = await fingerprints.now();
    await resourceFile.update((state) => {
      const next = pointApplied(state, header, totals, lost);
      dropped = pointsToDrop(next.replica.chain, retain);
      const chain = next.replica.chain.slice(dropped.length);
      return { ...next, replica: { ...next.replica, chain, fingerprint } };
    });
  } finally {
    await handle.close();
  }
  await files.remove(path);
  for (const { undo } of dropped) {
    if (undo !== null) await files.remove(`${replica.directory}/${undo}`);
  }
}

const undoParts = (replica: Applying) => ({
  files: replica.parts.files,
  directory: replica.directory,
  device: replica.device,
  table: replica.table,
  pack: replica.parts.pack,
});

/** The state after `header.to` is in the disk: chain, point, known ids. Pure. */
export function pointApplied(
  state: ResourceState,
  header: ChangesetHeader,
  totals: Pick<ChangesetTotals, 'blockBytes'>,
  lost: readonly number[],
): ResourceState {
  const { from, to } = header;
  const chain = state.replica.chain.map((entry, at) =>
    at === state.replica.chain.length - 1 && from !== null
      ? { ...entry, undo: undoName(from), lost: [...lost] }
      : entry,
  );
  const entry: PointEntry = {
    point: to,
    parent: from?.id ?? null,
    consistency: header.consistency,
    sizeBytes: header.sizeBytes,
    changedBytes: totals.blockBytes,
    undo: null,
    lost: [],
  };
  return {
    ...state,
    nextPoint: Math.max(state.nextPoint, to.number + 1),
    knownPoints: [...state.knownPoints, to.id].slice(-KNOWN_POINTS_MAX),
    replica: { ...state.replica, point: to, chain: [...chain, entry], lostPoint: null },
  };
}
