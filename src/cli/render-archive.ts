// Pages about archives: what a store honours, points, what is damaged. Pure.
import { humanBytes } from '../base/units.js';
import type { DamagedPart, PacksChecked } from '../restore/check-packs.js';
import type { PointsChecked } from '../restore/check-points.js';
import type { Probe, ProbeVerdict } from '../store/probe.js';
import { age, columns, plural, shortTime } from './text.js';

/** In one line. */
const POINTS_SHOWN_MAX = 8;

const VERDICTS: Readonly<Record<ProbeVerdict, string>> = {
  safe: 'it keeps all that an archive relies on',
  'one-writer':
    'it cannot tell two writers apart: an archive here is good only while one node writes it, ever',
  unsafe: 'it does not keep what is stored; no archive can live here',
};

export function renderProbe({ url, verdict, findings, counts }: Probe): string {
  const rows = findings.map(({ name, result, text, ms }) => [
    `  ${name}`,
    result,
    `${ms} ms`,
    text,
  ]);
  const { put, get, head, list, remove, upBytes, downBytes } = counts;
  const requests = `${put} PUT, ${get} GET, ${head} HEAD, ${list} LIST, ${remove} DELETE`;
  return [
    `${url}: ${verdict}: ${VERDICTS[verdict]}\n`,
    columns(rows),
    `  it took ${requests}; ${humanBytes(upBytes)} up, ${humanBytes(downBytes)} down\n`,
  ].join('');
}

/** A point of an archive; sizes are bytes. Null is what only its object, which is damaged, says. */
export interface ArchivePointRecord {
  readonly id: string | null;
  readonly number: number;
  readonly time: string;
  /** Of a pinned point. */
  readonly name: string | null;
  readonly epoch: number;
  readonly sequence: number;
  readonly consistency: string | null;
  readonly damagedChunks: number | null;
  readonly sizeBytes: number | null;
  readonly changedBytes: number | null;
  readonly storedBytes: number | null;
  /** Of the object; null: none. */
  readonly damage: string | null;
}

export interface ArchivePoints {
  readonly archive: string;
  /** Newest last. */
  readonly points: readonly ArchivePointRecord[];
}

export function renderArchivePoints({ archive, points }: ArchivePoints, nowMs: number): string {
  if (points.length === 0) return `${archive}: no points yet\n`;
  const header = ['Point', 'Cut', 'Age', 'Name', 'Stored', 'Changed', 'Size', 'Consistency'];
  const rows = points.map((point) => [
    `@${point.number}`,
    shortTime(point.time),
    age(point.time, nowMs),
    point.name ?? '-',
    bytesOrNone(point.storedBytes),
    bytesOrNone(point.changedBytes),
    bytesOrNone(point.sizeBytes),
    healthOf(point),
  ]);
  const damaged = points.some(({ damagedChunks }) => (damagedChunks ?? 0) > 0);
  return [
    `${archive}\n${columns([header, ...rows])}`,
    damaged ? '  DAMAGED: blocks that could not be read at the cut have older content\n' : '',
    ...points.map(({ damage }) => (damage === null ? '' : `  LOST: ${damage}\n`)),
  ].join('');
}

const bytesOrNone = (bytes: number | null): string => (bytes === null ? '-' : humanBytes(bytes));

function healthOf({ consistency, damagedChunks, damage }: ArchivePointRecord): string {
  if (damage !== null) return 'LOST';
  if (damagedChunks === null || damagedChunks === 0) return consistency ?? '-';
  return `DAMAGED (${plural(damagedChunks, 'chunk')})`;
}

export type Checked =
  | ({
      readonly archive: string;
      readonly checked: 'packs';
      readonly points: readonly number[];
    } & PacksChecked)
  | ({
      readonly archive: string;
      readonly checked: 'chunks';
      readonly share: number;
      readonly points: readonly number[];
    } & PointsChecked);

export function renderChecked(checked: Checked): string {
  const { archive, points } = checked;
  const of =
    points.length === 1 ? `${archive}@${points[0]}` : `${archive}: ${points.length} points`;
  if (checked.checked === 'packs') {
    const { packs, bytes, damaged } = checked;
    const there = `${packs} packs are looked for, ${humanBytes(bytes)} are there`;
    return `${of}: ${there}; nothing was read\n${damaged.map(partText).join('')}`;
  }
  const { chunks, chunkBytes, share, damaged, damagedChunks, index } = checked;
  const part = share < 1 ? `, a sample of ${percentOf(share)} %` : '';
  const more = damagedChunks - damaged.length;
  return [
    `${of}: ${plural(chunks, 'chunk')} read and checked, ${humanBytes(chunkBytes)}${part}\n`,
    ...index.map(partText),
    ...damaged.flatMap(({ chunk, offset, points: of, places }) => [
      `  chunk ${chunk} at byte ${offset} is damaged in ${pointsText(of)}\n`,
      ...places.map(({ place, why }) => `    ${why ?? `${place}: is whole`}\n`),
    ]),
    more > 0 ? `  and ${plural(more, 'more damaged chunk')}\n` : '',
  ].join('');
}

/** Without what binary fractions leave behind. */
const percentOf = (share: number): number => Number((100 * share).toPrecision(6));

const partText = ({ place, why, points }: DamagedPart): string =>
  `  ${why.includes(place) ? why : `${place}: ${why}`}; needed by ${pointsText(points)}\n`;

/** Newest first. */
const pointsText = (points: readonly number[]): string => {
  const shown = points.slice(0, POINTS_SHOWN_MAX).join(', ');
  const more = points.length - POINTS_SHOWN_MAX;
  return `point${points.length === 1 ? '' : 's'} ${shown}${more > 0 ? ` and ${more} more` : ''}`;
};

/** One line; null: nothing is damaged. */
export function damageText(checked: Checked): string | null {
  const isQuick = checked.checked === 'packs';
  const chunks = isQuick ? 0 : checked.damagedChunks;
  const parts = isQuick ? checked.damaged : checked.index;
  if (chunks + parts.length === 0) return null;
  const all = isQuick ? checked.damaged.flatMap(({ points }) => points) : checked.damagedPoints;
  const bad = new Set(all);
  const good = checked.points.filter((number) => !bad.has(number));
  // Only who has read all of a point knows that it is whole.
  const said = !isQuick && checked.share >= 1 ? 'whole are' : 'nothing was found in';
  const whole = checked.points.length === 1 ? '' : `; ${said} ${good.join(', ') || 'none'}`;
  const what = [
    ...(chunks > 0 ? [plural(chunks, 'chunk')] : []),
    ...(parts.length > 0 ? [plural(parts.length, isQuick ? 'object' : 'part of the index')] : []),
  ];
  return `${what.join(' and ')} damaged or missing, in ${pointsText([...bad])}${whole}`;
}
