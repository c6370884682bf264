// What is printed of an old point: restored, checked, served, compared. Pure.
import { humanBytes } from '../base/units.js';
import type { PointEvent, PointRecord } from '../control/api.js';
import type { RestoreCounts } from '../restore/to-disk.js';
import { attachLines } from './attach.js';
import { columns, exactBytes, plural, pointName, shortTime } from './text.js';

type Opened = Extract<PointEvent, { event: 'opened' }>;

/** What `verify` of a point found. */
export interface Checked {
  readonly point: PointRecord;
  readonly chunks: number;
  readonly damagedChunks: number;
  /** The first of them. */
  readonly damaged: readonly { readonly offset: number; readonly text: string }[];
}

/** What `diff` found: `listed` are the first of so many ranges. */
export interface Differences {
  readonly from: PointRecord | null;
  readonly point: PointRecord;
  readonly bytes: number;
  readonly ranges: number;
  readonly listed: readonly { readonly offset: number; readonly length: number }[];
}

export function renderRestored(
  name: string,
  { point }: Opened,
  path: string,
  { writtenBytes, equalBytes }: RestoreCounts,
): string {
  return (
    `${titleOf(name, point)} stands in ${path}: ${humanBytes(writtenBytes)} written, ` +
    `${humanBytes(equalBytes)} were there or are zeroes\n${notesOf(point)}`
  );
}

export function renderChecked(name: string, { point, chunks, damaged, ...rest }: Checked): string {
  const { damagedChunks } = rest;
  const verdict =
    damagedChunks === 0
      ? 'each has its digest'
      : `${plural(damagedChunks, 'chunk')} cannot be had as they were`;
  const lines = damaged.map(({ text }) => `  ${text}\n`);
  const more = damagedChunks - damaged.length;
  const others = more > 0 ? `  and ${plural(more, 'chunk')} more\n` : '';
  const title = `${titleOf(name, point)}: ${plural(chunks, 'chunk')} read, ${verdict}\n`;
  return `${title}${lines.join('')}${others}${notesOf(point)}`;
}

export function renderServed(name: string, { point, uri }: Opened): string {
  const lines = attachLines(`${name}-${point.number}`, uri ?? '');
  const qemu = lines === null ? '' : `  ${lines.qemu}\n`;
  return `${titleOf(name, point)}, read-only until this is interrupted:\n  ${uri}\n${qemu}`;
}

export function renderDifferences(name: string, found: Differences): string {
  const { from, point, bytes, ranges, listed } = found;
  const others = from === null ? '' : `${pointName(name, from)} and `;
  const summary =
    ranges === 0
      ? `${others}${pointName(name, point)}: the same\n`
      : `${others}${pointName(name, point)}: ${exactBytes(bytes)} in ${plural(ranges, 'range')}\n`;
  if (ranges === 0) return summary;
  const rows = listed.map(({ offset, length }) => [String(offset), String(length)]);
  const more = ranges - listed.length;
  const rest = more > 0 ? `and ${plural(more, 'range')} more\n` : '';
  return `${summary}${columns([['Offset', 'Length'], ...rows])}${rest}`;
}

const titleOf = (name: string, point: PointRecord): string =>
  `${pointName(name, point)} of ${shortTime(point.time)}`;

/** What a point does not have, whoever reads it. */
function notesOf({ damagedChunks, consistency }: PointRecord): string {
  if (consistency !== 'damaged') return '';
  const chunks = plural(damagedChunks, 'chunk');
  return `  ${chunks} could not be read on the primary at its cut and have older content\n`;
}
