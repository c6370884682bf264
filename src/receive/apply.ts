// Receiver steps 6 to 9: undo, blocks, table, state. Repeatable: each step's result is looked for
// first, and an undo that stands is never written again (H26).
import { present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import type { Device } from '../disk/device.js';
import type { ChangesetHeader, ChangesetTotals } from '../format/changeset.js';
import { openChangeset } from '../format/changeset-reader.js';
import {
  KNOWN_POINTS_MAX,
  NAMED_CHUNKS_MAX,
  type PointEntry,
  type ResourceState,
} from '../format/resource-state.js';
import type { ChainReaders } from '../history/chain-readers.js';
import { recordEntries, undoName, writeBlocks, writeUndo } from '../history/undo.js';
import type { DigestTable } from '../tracking/digest-table.js';
import type { ReplicaParts } from './parts.js';
import { oldEnd, removeAll } from './pruning.js';

/** The replica as far as apply needs it: an open disk and its table. */
export interface Applying {
  readonly parts: ReplicaParts;
  readonly directory: string;
  readonly device: Device;
  readonly table: DigestTable;
  /** Who reads older points meanwhile (H32). */
  readonly readers: Pick<ChainReaders, 'undoStands' | 'dropped'>;
}

/** Applies the committed file `name`; the replica's state stands at its `from`. `drift`: chunks to
 * be added to the published count (H28). */
export async function applyCommitted(
  replica: Applying,
  name: string,
  drift: number,
): Promise<void> {
  const { files, resourceFile, fingerprints, retain } = replica.parts;
  const path = `${replica.directory}/${name}`;
  const handle = await files.open(path, 'read');
  let dropped: readonly PointEntry[] = [];
  try {
    const changeset = await openChangeset(handle);
    const { header, totals } = changeset;
    const from = present(header.from, 'a first copy is not staged');
    // 6. Undo.
    const { sizeBytes } = resourceFile.state;
    // Durable before the undo stands: an apply that is repeated does not read the older content.
    const noteLost = (lost: readonly number[]): Promise<void> => {
      const facts = { undo: undoName(from), lostChunks: lost.length, first: lost[0] };
      replica.parts.log.warn('chunks of the older point are lost', facts);
      return noteOf(replica, header.round, (noted) => ({
        ...noted,
        lost: lost.slice(0, NAMED_CHUNKS_MAX),
        lostChunks: lost.length,
      }));
    };
    await writeUndo(undoParts(replica), changeset, from, sizeBytes, noteLost);
    replica.readers.undoStands(from, header.round);
    // 7. Blocks.
    await writeBlocks(replica.device, changeset, path);
    await replica.device.sync();
    // 8. Table.
    await recordEntries(replica.table, changeset, header.to);
    // 9. State.
    const fingerprint = await fingerprints.now();
    await resourceFile.update((state) => {
      const next = pointApplied(state, header, totals);
      dropped = oldEnd(next.replica.chain, retain);
      const chain = next.replica.chain.slice(dropped.length);
      const driftChunks = next.replica.driftChunks + drift;
      return { ...next, replica: { ...next.replica, chain, fingerprint, driftChunks } };
    });
  } finally {
    await handle.close();
  }
  const stale = dropped.flatMap(({ undo }) => (undo === null ? [] : [undo]));
  await removeAll(replica.parts, replica.directory, [name, ...replica.readers.dropped(stale)]);
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
): ResourceState {
  const { from, to } = header;
  const noted = notedOf(state, header.round);
  const chain = state.replica.chain.map((entry, at) =>
    at === state.replica.chain.length - 1 && from !== null
      ? { ...entry, undo: undoName(from), lost: noted.lost, lostChunks: noted.lostChunks }
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
    lostChunks: 0,
    damaged: noted.damaged.slice(0, NAMED_CHUNKS_MAX),
    damagedChunks: noted.damaged.length,
  };
  return {
    ...state,
    // H14: the size belongs to the point.
    sizeBytes: header.sizeBytes,
    nextPoint: Math.max(state.nextPoint, to.number + 1),
    knownPoints: [...state.knownPoints, to.id].slice(-KNOWN_POINTS_MAX),
    replica: {
      ...state.replica,
      point: to,
      chain: [...chain, entry],
      lostPoint: null,
      // A round is committed here only with all that was in doubt (H28).
      suspect: null,
      noted: null,
    },
  };
}

type Noted = NonNullable<ResourceState['replica']['noted']>;

/** What is noted of a round, or nothing. */
const notedOf = ({ replica: { noted } }: ResourceState, round: Uint8Array): Noted =>
  noted !== null && equalBytes(noted.round, round)
    ? noted
    : { round, damaged: [], lost: [], lostChunks: 0 };

/** Publishes what `change` makes of the note of `round`; nothing when that says nothing new. */
export async function noteOf(
  { parts }: Pick<Applying, 'parts'>,
  round: Uint8Array,
  change: (noted: Noted) => Noted,
): Promise<void> {
  const before = parts.resourceFile.state;
  const said = change(notedOf(before, round));
  if (said.damaged.length === 0 && said.lostChunks === 0 && before.replica.noted === null) return;
  await parts.resourceFile.update((state) => {
    const noted = change(notedOf(state, round));
    return { ...state, replica: { ...state.replica, noted } };
  });
}
