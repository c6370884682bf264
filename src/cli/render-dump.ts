// `hastctl dump`: what is stored of a resource, with HAST's field names where HAST has the field
// (resource, datasize, extentsize, keepdirty, resuid, prevrole). Pure. Sizes: bytes, and in words.
import type {
  DumpedEntry,
  DumpedIntent,
  DumpedMap,
  DumpedPoint,
  DumpedTable,
  DumpedTarget,
  ResourceDump,
  Unreadable,
} from '../care/dump.js';
import { bitRate, exactBytes, plural, pointName, shortTime } from './text.js';

export function renderDump(dump: ResourceDump): string {
  const lines = [
    ...stateLines(dump),
    ...dump.epochs.map(
      ({ number, node, id, parent }) =>
        `epoch ${number}: ${id}, primary ${node}, from ${parent ?? 'nothing'}`,
    ),
    ...dump.targets.flatMap((target) => targetLines(dump.name, target)),
    ...replicaLines(dump),
    ...dump.maps.map((map) => partLine(map, mapText)),
    ...dump.tables.map((table) => partLine(table, (whole) => tableText(dump.name, whole))),
    ...(dump.intent === null ? [] : [partLine(dump.intent, intentText)]),
  ];
  return [`${dump.name}:`, ...lines.map((line) => `  ${line}`)].map((line) => `${line}\n`).join('');
}

function stateLines(dump: ResourceDump): string[] {
  const { running } = dump;
  const copies = dump.copiesAgree ? 'both copies agree' : 'the copies do not agree';
  return [
    `directory: ${dump.directory}`,
    `state: generation ${dump.generation}, ${copies}`,
    `resource: ${dump.name}`,
    `datasize: ${exactBytes(dump.sizeBytes)}`,
    `extentsize: ${exactBytes(dump.extentBytes)}`,
    `keepdirty: ${dump.keepdirty}`,
    `resuid: ${dump.resource ?? 'none'}`,
    `prevrole: ${dump.role}`,
    `ordered role: ${dump.remembered}`,
    `stopped cleanly: ${cleanText(dump.cleanStop)}`,
    `running: ${running === null ? 'no' : runningText(running)}`,
    `written in the last epoch: ${dump.written ? 'yes' : 'no'}`,
    `next point: ${dump.nextPoint}`,
    `known points: ${dump.knownPoints}`,
    ...(dump.doubt === null ? [] : [`in doubt: ${dump.doubt}`]),
  ];
}

const cleanText = (clean: boolean | null): string => {
  if (clean === null) return '- (there are no maps of a primary)';
  return clean ? 'yes' : 'no';
};

const runningText = ({ bootId, metaflush }: NonNullable<ResourceDump['running']>): string =>
  `in boot ${bootId}, metaflush ${metaflush ? 'on' : 'off'}`;

const pointText = (name: string, point: DumpedPoint | null): string =>
  point === null ? 'none' : `${pointName(name, point)} ${shortTime(point.time)} ${point.id}`;

function targetLines(name: string, target: DumpedTarget): string[] {
  const { rateBitsPerSecond: rate, proposed } = target;
  const facts = [
    ...(target.drained ? ['nothing was dirty at the clean stop'] : []),
    ...(target.away ? ['left out of the configuration for a time'] : []),
    ...(target.paused ? ['paused'] : []),
    ...(rate === null ? [] : [`rate ${rate === 0 ? 'none' : bitRate(rate)}`]),
    ...(target.failedRounds > 0 ? [`${plural(target.failedRounds, 'round')} failed`] : []),
    `chunks: drifted ${target.driftChunks}, untracked ${target.untrackedChunks}, ` +
      `damaged ${target.damagedChunks}`,
  ];
  return [
    `target ${target.name}: point ${pointText(name, target.point)}`,
    ...(proposed === null ? [] : [`  outcome unknown: ${pointText(name, proposed)}`]),
    `  ${facts.join('; ')}`,
  ];
}

function replicaLines({ name, replica }: ResourceDump): string[] {
  const { point, suspect, lostPoint, driftChunks, chain } = replica;
  if (point === null && suspect === null && chain.length === 0) return [];
  return [
    `replica: point ${pointText(name, point)}`,
    ...(suspect === null ? [] : [`  suspect: ${suspect}`]),
    ...(lostPoint === null ? [] : [`  committed and lost: ${lostPoint}`]),
    ...(driftChunks > 0 ? [`  ${plural(driftChunks, 'chunk')} had drifted`] : []),
    ...chain.map((entry) => `  ${entryText(name, entry)}`),
  ];
}

function entryText(name: string, entry: DumpedEntry): string {
  const { lost, damaged } = entry;
  const facts = [
    `${pointName(name, entry.point)} ${shortTime(entry.point.time)}`,
    entry.consistency,
    `${exactBytes(entry.changedBytes)} changed`,
    entry.undo ?? 'on the disk',
    ...(lost.length > 0 ? [`${plural(lost.length, 'chunk')} lost`] : []),
    ...(damaged.length > 0 ? [`${plural(damaged.length, 'chunk')} damaged`] : []),
  ];
  return facts.join(', ');
}

/** A part that cannot be read says so in its place. */
const partLine = <T extends { readonly file: string }>(
  part: T | Unreadable,
  text: (whole: T) => string,
): string =>
  'problem' in part ? `${part.file}: UNREADABLE: ${part.problem}` : `${part.file}: ${text(part)}`;

const foreign = (ours: boolean): string => (ours ? '' : ', of another resource');

const mapText = ({ dirtyBytes, dirtyBlocks, generation, ours }: DumpedMap): string =>
  `dirty ${exactBytes(dirtyBytes)} in ${plural(dirtyBlocks, 'block')}, ` +
  `generation ${generation}${foreign(ours)}`;

const tableText = (name: string, { sizeBytes, point, absentIsZero, ours }: DumpedTable): string =>
  `digests of ${exactBytes(sizeBytes)} at point ${pointText(name, point)}, ` +
  `absent pages ${absentIsZero ? 'are zeroes' : 'are unknown'}${foreign(ours)}`;

const intentText = ({ extents, setExtents, extentBytes, ours }: DumpedIntent): string =>
  `${setExtents} of ${plural(extents, 'extent')} of ${exactBytes(extentBytes)} perhaps ` +
  `written${foreign(ours)}`;
