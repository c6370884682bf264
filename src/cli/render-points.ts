// What is printed of a point, of an archive or of a resource: restored, served, compared; and of a
// resource's checked. Pure.
import { humanBytes, humanSeconds } from '../base/units.js';
import type { PointRecord } from '../control/api.js';
import type { Difference } from '../restore/compare-points.js';
import { attachLines } from './attach.js';
import { columns, plural, pointName, shortTime } from './text.js';

/** Ranges that are named one by one; the others are only counted. */
export const DIFF_RANGES_MAX = 1_000_000;

export interface RestoredPoint {
  readonly id: string;
  readonly number: number;
  readonly time: string;
}

export interface Restored {
  readonly point: RestoredPoint;
  readonly path: string;
  readonly sizeBytes: number;
  readonly writtenBytes: number;
  readonly equalBytes: number;
  readonly behindBytes: number;
  readonly seconds: number;
  readonly damagedChunks: number;
}

/** `name`: url or resource. */
export function renderRestored(name: string, restored: Restored): string {
  const { path, point, sizeBytes, writtenBytes, equalBytes, seconds, behindBytes } = restored;
  const rate = seconds > 0 ? ` (${humanBytes(sizeBytes / seconds)}/s)` : '';
  const right = equalBytes > 0 ? `, ${humanBytes(equalBytes)} were right` : '';
  return [
    `${path}: is ${titleOf(name, point)}, every chunk verified\n`,
    `  ${humanBytes(sizeBytes)} in ${humanSeconds(seconds)}${rate}: ` +
      `${humanBytes(writtenBytes)} written${right}\n`,
    behindBytes > 0
      ? `  ${humanBytes(behindBytes)} behind it on the device are left as they were\n`
      : '',
    damageNote(restored.damagedChunks),
  ].join('');
}

/** What `diff` found: `ranges` are the first of them. */
export interface DifferenceList {
  readonly points: readonly {
    readonly number: number;
    readonly time: string;
    readonly sizeBytes: number;
  }[];
  readonly differingBytes: number;
  readonly ranges: readonly Difference[];
  readonly rangesLeftOut: number;
}

/** `names`: urls or resources of the points; `by`: what is named as a whole. */
export function renderDifferences(
  list: DifferenceList,
  names: readonly string[],
  by: string,
): string {
  const { points, ranges, rangesLeftOut, differingBytes } = list;
  const titles = points.map(
    (point, i) => `${titleOf(names[i] ?? '', point)}, ${humanBytes(point.sizeBytes)}\n`,
  );
  const count = plural(ranges.length + rangesLeftOut, 'range');
  const rows = ranges.map(({ offset, length }) => [`  ${offset}`, `${length}`]);
  return [
    ...titles,
    ranges.length === 0 ? '' : columns([['  Offset', 'Length'], ...rows]),
    rangesLeftOut === 0 ? '' : `  and ${plural(rangesLeftOut, 'more range')}\n`,
    differingBytes === 0
      ? 'they are equal\n'
      : `${differingBytes} bytes (${humanBytes(differingBytes)}) differ in ${count}, by ${by}\n`,
  ].join('');
}

/** A point that is served. */
export interface Served {
  readonly uri: string;
  readonly resource: string;
  readonly number: number;
  readonly time: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
}

/** Remarks for who reads along; `changes`: where those go that clients make. */
export function servedNotes(served: Served, changes: string): readonly string[] {
  const { uri, resource, number, sizeBytes, readOnly } = served;
  const way = readOnly ? 'read-only' : `writable, changes ${changes}`;
  const lines = attachLines(`${resource}-${number}`, uri);
  return [
    `${titleOf(resource, served)}, ${humanBytes(sizeBytes)}, ${way}, until interrupted`,
    ...(lines === null ? [] : [`qemu: ${lines.qemu}`]),
  ];
}

/** What `verify` of a resource's point found. */
export interface PointChecked {
  readonly point: PointRecord;
  readonly chunks: number;
  readonly damagedChunks: number;
  /** The first of them. */
  readonly damaged: readonly { readonly offset: number; readonly text: string }[];
}

export function renderPointChecked(name: string, checked: PointChecked): string {
  const { point, chunks, damagedChunks, damaged } = checked;
  const verdict =
    damagedChunks === 0
      ? 'each has its digest'
      : `${plural(damagedChunks, 'chunk')} cannot be had as they were`;
  const more = damagedChunks - damaged.length;
  return [
    `${titleOf(name, point)}: ${plural(chunks, 'chunk')} read, ${verdict}\n`,
    ...damaged.map(({ text }) => `  ${text}\n`),
    more > 0 ? `  and ${plural(more, 'more chunk')}\n` : '',
    damageNote(point.damagedChunks),
  ].join('');
}

const titleOf = (name: string, point: { readonly number: number; readonly time: string }): string =>
  `${pointName(name, point)} of ${shortTime(point.time)}`;

/** What a point does not have, whoever reads it. */
function damageNote(damagedChunks: number): string {
  if (damagedChunks === 0) return '';
  const chunks = plural(damagedChunks, 'chunk');
  return `  ${chunks} could not be read on the primary at its cut and have older content\n`;
}
