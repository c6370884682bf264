// What is checked of several points together: leaves of a region that they share, once, and of a
// chunk each content that they have, once, with who has it. Pure.
import { recordId } from '../archive/laying.js';
import type { PointTrees, Tree } from '../archive/tree.js';
import { hex } from '../base/random.js';
import { chunkLength } from '../base/units.js';
import type { LeafEntry } from '../format/archive-leaf.js';
import type { NodeRef, Page } from '../format/archive-node.js';
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

/** Pages by tree at one place; a tree that cannot be read there is left out. */
export type Pages = ReadonlyMap<Tree, Page>;

export interface Reference {
  readonly tree: Tree;
  readonly ref: NodeRef;
  readonly id: string;
}

/** Who has which leaves of a region, number `at` of its pages: points with the very same ones are
 * together. */
export function byReferences(
  all: readonly PointView[],
  pages: Pages,
  at: number,
): ReadonlyMap<readonly Reference[], readonly PointView[]> {
  const groups = new Map<string, { refs: readonly Reference[]; views: PointView[] }>();
  for (const view of all) {
    const refs = view.trees.trees.flatMap((tree): Reference[] => {
      const ref = pages.get(tree)?.get(at);
      return ref === undefined ? [] : [{ tree, ref, id: idOf(ref) }];
    });
    const id = refs.map((ref) => ref.id).join(' ');
    const group = groups.get(id);
    if (group === undefined) groups.set(id, { refs, views: [view] });
    else group.views.push(view);
  }
  return new Map([...groups.values()].map(({ refs, views }) => [refs, views]));
}

const idOf = ({ place, check }: NodeRef): string => `${place.pack}:${place.offset}:${hex(check)}`;

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
