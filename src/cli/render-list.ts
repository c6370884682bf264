// `hastctl list`: HAST's field names in HAST's order, then what this program adds, and the lines
// that attach the disk to a guest, ready to paste. Pure. Sizes: bytes, and in words.
import type { ResourceStatus, StatusAnswer, TargetStatus } from '../control/api.js';
import { attachLines } from './attach.js';
import { age, bitRate, exactBytes, pointName, progressText, shortTime } from './text.js';

export function renderList(answer: StatusAnswer, nowMs: number): string {
  const lines = answer.resources.flatMap((resource) => [
    `${resource.name}:`,
    ...resourceLines(resource, nowMs).map((line) => `  ${line}`),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}

function resourceLines(resource: ResourceStatus, nowMs: number): string[] {
  const remotes = resource.targets.map((target) => target.remote ?? 'none');
  const dirty = Math.max(0, ...resource.targets.map((target) => target.dirtyBytes));
  return [
    ...resource.alarms.map(
      ({ level, target, code, text }) =>
        `alarm: ${level} ${target === null ? '' : `${target} `}${code}: ${text}`,
    ),
    ...(resource.error === null ? [] : [`error: ${resource.error}`]),
    `role: ${resource.role}`,
    `provname: ${resource.exportName}`,
    `localpath: ${resource.local}`,
    `mediasize: ${exactBytes(resource.sizeBytes)}`,
    `extentsize: ${exactBytes(resource.extentBytes)}`,
    `keepdirty: ${resource.keepdirty ?? '-'}`,
    `remoteaddr: ${remotes.join(' ') || 'none'}`,
    `replication: ${resource.replication}`,
    `status: ${resource.state}`,
    `dirty: ${exactBytes(dirty)}`,
    `spill: ${exactBytes(resource.spillBytes)} of ${exactBytes(resource.spillBytesMax)}`,
    `guests: ${resource.guests}`,
    `alone: ${resource.alone ? 'yes' : 'no'}`,
    `disk hangs since: ${shortTime(resource.hangsSince)}`,
    ...counterLines(resource),
    ...resource.targets.flatMap((target) => targetLines(resource, target, nowMs)),
    ...attach(resource),
  ];
}

function counterLines({ counters }: ResourceStatus): string[] {
  if (counters === null) return [];
  return [
    'statistics:',
    `  reads: ${counters.reads}`,
    `  writes: ${counters.writes}`,
    `  deletes: ${counters.deletes}`,
    `  flushes: ${counters.flushes}`,
    `  activemap updates: ${counters.activemapUpdates}`,
    `  local errors: read: ${counters.readErrors}, write: ${counters.writeErrors}, ` +
      `delete: ${counters.deleteErrors}, flush: ${counters.flushErrors}`,
    `  written: ${exactBytes(counters.writtenBytes)}`,
    `  preserved chunks: ${counters.preservedChunks}`,
    `  repaired blocks: ${counters.repairedBlocks}`,
    `  gate hold: ${counters.gateHoldMicrosMax} us at most, ${counters.gateHoldMicrosP99} us at ` +
      `the 99th percentile, ${counters.gateHoldMicrosP999} us at the 99.9th`,
    `  preserve waits: ${counters.preserveWaits}, ` +
      `${counters.preserveWaitMicrosP99} us at the 99th percentile`,
    `  first touches: ${counters.firstTouches}, ${counters.firstTouchMicros} us in all, ` +
      `${counters.firstTouchMicrosMax} us at most`,
  ];
}

function targetLines(resource: ResourceStatus, target: TargetStatus, nowMs: number): string[] {
  const point = target.lastPoint;
  const pointText =
    point === null
      ? 'none'
      : `${pointName(resource.name, point)} ${shortTime(point.time)} ` +
        `(${age(point.time, nowMs)} old)`;
  const error = target.lastError;
  return [
    `target ${target.name}:`,
    `  kind: ${target.kind}`,
    `  remoteaddr: ${target.remote ?? 'none'}`,
    `  link: ${target.link}`,
    `  work: ${target.work}`,
    `  data: ${target.data}`,
    `  status: ${target.state}`,
    `  dirty: ${exactBytes(target.dirtyBytes)}`,
    `  last point: ${pointText}`,
    `  lag: ${target.lagSeconds === null ? '-' : `${Math.round(target.lagSeconds)} s`}`,
    `  max-lag: ${target.maxLagSeconds === null ? 'none' : `${target.maxLagSeconds} s`}`,
    `  next run: ${shortTime(target.nextRun)}`,
    `  paused: ${target.paused ? 'yes' : 'no'}`,
    `  rate: ${target.rateBitsPerSecond === null ? 'none' : bitRate(target.rateBitsPerSecond)}`,
    `  unreachable since: ${shortTime(target.unreachableSince)}`,
    `  skipped firings: ${target.skippedFirings}`,
    `  failed rounds: ${target.failedRounds}`,
    `  chunks: drifted ${target.driftChunks}, untracked ${target.untrackedChunks}, ` +
      `damaged ${target.damagedChunks}`,
    `  running: ${target.round ? progressText(target.round) : 'nothing'}`,
    `  last error: ${error ? `${shortTime(error.time)} ${error.code}: ${error.text}` : 'none'}`,
    `  last verified: ${target.verifiedAt === null ? 'never' : shortTime(target.verifiedAt)}`,
  ];
}

function attach(resource: ResourceStatus): string[] {
  if (resource.nbdUri === null) return [];
  const lines = attachLines(resource.name, resource.nbdUri);
  const both = lines ? [`qemu: ${lines.qemu}`, `libvirt: ${lines.libvirt}`] : [];
  return [`nbd: ${resource.nbdUri}`, ...both];
}
