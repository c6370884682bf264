// What is checked of a chunk: each content of it that points have, once, with who has it. Pure.
import { recordId } from '../archive/laying.js';
import type { PointTrees } from '../archive/tree.js';
import { hex } from '../base/random.js';
import { chunkLength } from '../base/units.js';
import type { LeafEntry } from '../format/archive-leaf.js';
import type { ArchivePoint } from '../format/archive-objects.js';

export interface PointView {
  readonly point: ArchivePoint;
  readonly trees: PointTrees;
  /** Numbers of the packs that are meant; null: all are. */
  meant: ReadonlySet<number> | null;
}

/** One content of a chunk, and who has it. */
export interface Version {
  readonly entry: LeafEntry;
  readonly length: number;
  /** Of one of them. */
  readonly trees: PointTrees;
  readonly points: number[];
}

/** Something of it stands in the packs that are meant. */
export const isMeant = ({ meant }: PointView, { pieces }: LeafEntry): boolean =>
  meant === null || pieces.some(({ place }) => place !== null && meant.has(place.pack));

/** `versions`: by what makes a content. */
export function addVersion(
  versions: Map<string, Version>,
  { point, trees }: PointView,
  entry: LeafEntry,
): void {
  const length = chunkLength(entry.chunk, point.sizeBytes);
  if (length <= 0) return; // the disk was longer once
  const pieces = entry.pieces.map(
    ({ mask, zero, place }) => `${mask}.${zero}.${place === null ? '-' : recordId(place)}`,
  );
  const id = `${entry.chunk} ${length} ${hex(entry.digest)} ${pieces.join(' ')}`;
  const known = versions.get(id);
  if (known !== undefined) known.points.push(point.to.number);
  else versions.set(id, { entry, length, trees, points: [point.to.number] });
}
