// Pages about archives: what a store honours, points, what is damaged. Pure.

import type { DamagedPart } from '../archive/damage.js';
import type { LooksSummary } from '../archive/looks.js';
import { humanBytes } from '../base/units.js';
import type { AgeChecked } from '../restore/check-by-age.js';
import type { PacksChecked } from '../restore/check-packs.js';
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
  /** Why newer points, of which not even the number is known, cannot be read. */
  readonly newerLost: readonly string[];
}

export function renderArchivePoints(
  { archive, points, newerLost }: ArchivePoints,
  nowMs: number,
): string {
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
    ...newerLost.map((why) => `  LOST, and newer than all of these: ${why}\n`),
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
    } & PointsChecked)
  | ({
      readonly archive: string;
      readonly checked: 'age';
      readonly budgetBytes: number;
      readonly looked: Omit<LooksSummary, 'oldestMs'> & { readonly oldest: string | null };
    } & Omit<AgeChecked, 'looked'>);

export function renderChecked(checked: Checked, nowMs: number): string {
  const { archive, points } = checked;
  if (checked.checked === 'age') return renderByAge(checked, nowMs);
  const of =
    points.length === 1 ? `${archive}@${points[0]}` : `${archive}: ${points.length} points`;
  if (checked.checked === 'packs') {
    const { packs, bytes, damaged } = checked;
    const there = `${packs} packs are looked for, ${humanBytes(bytes)} are there`;
    return `${of}: ${there}; nothing was read\n${damaged.map(partText).join('')}`;
  }
  const { chunks, chunkBytes, share } = checked;
  const part = share < 1 ? `, a sample of ${percentOf(share)} %` : '';
  const read = `${plural(chunks, 'chunk')} read and checked, ${humanBytes(chunkBytes)}${part}`;
  return `${of}: ${read}\n${damagedText(checked)}`;
}

function renderByAge(checked: Extract<Checked, { checked: 'age' }>, nowMs: number): string {
  const { archive, points, looked, packsRead, bytesRead, damagedPacks } = checked;
  const { packs, bytes, in30DaysBytes, in90DaysBytes, neverBytes } = looked;
  const share = (part: number): string =>
    `${bytes === 0 ? 100 : Math.floor((100 * part) / bytes)} %`;
  const read = `${plural(packsRead, 'pack')} read, ${humanBytes(bytesRead)}`;
  const of = `${plural(packs, 'pack')} of ${humanBytes(bytes)}`;
  const oldest = looked.oldest === null ? 'none yet' : `${age(looked.oldest, nowMs)} ago`;
  return [
    `${archive}: ${plural(points.length, 'point')}: ${read}, of ${of} that they need\n`,
    `  looked at within 30 days ${share(in30DaysBytes)}, within 90 days ${share(in90DaysBytes)}; `,
    `never ${humanBytes(neverBytes)}; the oldest look ${oldest}\n`,
    ...damagedPacks.map(partText),
    damagedText(checked),
  ].join('');
}

function damagedText({ index, damaged, damagedChunks }: PointsChecked): string {
  const more = damagedChunks - damaged.length;
  return [
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

/** Newest first; none: it is of one whose number nobody can read. */
const pointsText = (points: readonly number[]): string => {
  if (points.length === 0) return 'a point newer than these';
  const shown = points.slice(0, POINTS_SHOWN_MAX).join(', ');
  const more = points.length - POINTS_SHOWN_MAX;
  return `point${points.length === 1 ? '' : 's'} ${shown}${more > 0 ? ` and ${more} more` : ''}`;
};

/** One line; null: nothing is damaged. */
export function damageText(checked: Checked): string | null {
  if (checked.checked === 'age') return byAgeDamage(checked);
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

/** Points are named by what they cannot give: in a damaged pack they may need nothing. */
function byAgeDamage(checked: Extract<Checked, { checked: 'age' }>): string | null {
  const { damagedPacks, damagedPoints, damagedChunks, index, points } = checked;
  if (damagedPacks.length + index.length === 0) return null;
  const packs = damagedPacks.length === 0 ? [] : [plural(damagedPacks.length, 'pack')];
  const parts = index.length === 0 ? [] : [plural(index.length, 'part of the index')];
  const bad = new Set([...index.flatMap((part) => part.points), ...damagedPoints]);
  const good = points.filter((number) => !bad.has(number));
  const what = `${[...packs, ...parts].join(' and ')} damaged or missing`;
  if (bad.size === 0) return `${what}, where no point needs it`;
  const chunks = damagedChunks === 0 ? '' : `: ${plural(damagedChunks, 'chunk')}`;
  const others = `nothing was found in ${good.join(', ') || 'none'}`;
  return `${what}${chunks}, in ${pointsText([...bad])}; ${others}`;
}
