// restore, diff, pin, unpin: what is done with the points of an archive, on any machine; `points`
// and `verify` of archives are in point-commands.ts. No daemon, no configuration: the url and, if
// it is sealed, the key.
import type { Command } from 'commander';
import { isoTime } from '../base/clock.js';
import { codeOf } from '../base/errors.js';
import { hex } from '../base/random.js';
import { EXIT } from '../control/exit-status.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { pointNameFault, splitAtPoint } from '../lineage/point-spec.js';
import type { ArchiveReader, RestoreBegun } from '../restore/archive-reader.js';
import type { RestoreCounts } from '../restore/to-disk.js';
import {
  type ArchiveFlags,
  demandArchive,
  demandPoint,
  withArchiveOptions,
  writtenPoint,
} from './archive-address.js';
import { quoted } from './completion-tree.js';
import { CliError } from './fault.js';
import { showWork } from './progress.js';
import { type DifferenceList, renderDifferences, renderRestored } from './render-archive.js';
import type { Run, Session } from './session.js';

/** Named one by one; the others are only counted. */
const RANGES_MAX = 1_000_000;
const ARCHIVE_POINT = 's3://BUCKET/PREFIX/NAME@POINT or file:///DIRECTORY/NAME@POINT';

/** Another point may be without it. */
const DAMAGE: ReadonlySet<string> = new Set(['FORMAT_BAD', 'STORE_MISSING', 'STORE_SHORT']);

interface RestoreFlags extends ArchiveFlags {
  readonly delta?: boolean;
}

export function addRestoreCommands(program: Command, run: Run): void {
  const described = (verb: string, description: string): Command =>
    withArchiveOptions(program.command(verb).description(description));
  described('restore', 'make a disk as of a point of an archive; needs no daemon')
    .argument('<url>', ARCHIVE_POINT)
    .argument('<path>', 'file to make, or with --delta an existing file or device')
    .option('--delta', 'make what is there equal to the point: its content goes')
    .action((url: string, path: string, flags: RestoreFlags) =>
      run((session) => restore(session, url, path, flags)),
    );
  described('diff', 'what differs between two points of archives; reads no data')
    .argument('<url>', ARCHIVE_POINT)
    .argument('<other>', 'another such url, or only its point')
    .action((url: string, other: string, flags: ArchiveFlags) =>
      run((session) => diff(session, url, other, flags)),
    );
  described('pin', 'give a point of an archive a name; it stays as long as it has that')
    .argument('<url>', ARCHIVE_POINT)
    .argument('<label>', 'its name: letters, digits and . _ -')
    .action((url: string, label: string, flags: ArchiveFlags) =>
      run((session) => pin(session, url, label, flags)),
    );
  described('unpin', 'take the name of a point away; it may go with the next round')
    .argument('<url>', 's3://BUCKET/PREFIX/NAME@LABEL')
    .action((url: string, flags: ArchiveFlags) => run((session) => unpin(session, url, flags)));
}

/** What a point is, in JSON. */
const pointFacts = ({ to }: ArchivePoint) => ({
  id: hex(to.id),
  number: to.number,
  time: isoTime(to.timeMs),
});

/** Opens an archive for as long as `work` takes. */
export async function reading<T>(
  archive: ArchiveReader,
  work: (archive: ArchiveReader) => Promise<T>,
): Promise<T> {
  try {
    return await work(archive);
  } finally {
    await archive.close();
  }
}

async function restore(
  session: Session,
  url: string,
  path: string,
  { delta = false, ...flags }: RestoreFlags,
): Promise<number> {
  const { request, point } = await demandPoint(session, url, flags);
  const { clock, interrupted, openArchive } = session.machinery;
  const signal = interrupted();
  const began = clock.monotonicMs();
  let begun: RestoreBegun | null = null;
  let last: Readonly<RestoreCounts> | null = null;
  const work = showWork(session, path);
  try {
    const counts = await reading(await openArchive(request), (archive) =>
      archive.restore(point, {
        path,
        delta,
        command: asTyped(url, path, flags),
        signal,
        onBegin: (now) => {
          begun = now;
          noteBegin(session, path, now);
        },
        onProgress: (now) => {
          last = now;
          work.show(now.doneBytes, now.totalBytes);
        },
      }),
    );
    work.end();
    const seconds = (clock.monotonicMs() - began) / 1000;
    printRestored(session, request.url, path, begun, counts, seconds);
    return EXIT.ok;
  } catch (error) {
    work.end();
    if (begun === null) throw error;
    const { doneBytes, totalBytes } = last ?? { doneBytes: 0, totalBytes: 1 };
    const percent = Math.floor((100 * doneBytes) / totalBytes);
    const stopped = new CliError({ code: 'RESTORE_STOPPED', path, percent });
    if (signal.aborted) throw stopped;
    session.note(stopped.message);
    if (DAMAGE.has(codeOf(error) ?? '')) {
      session.note(`which points are whole, says: hastctl verify ${request.url}`);
    }
    throw error;
  }
}

/** The whole command with --delta, to be copied from the terminal. */
function asTyped(url: string, path: string, flags: ArchiveFlags): string {
  const word = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : quoted(text));
  const options = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, word(value)]);
  return ['hastctl restore', word(url), word(path), '--delta', ...options].join(' ');
}

function noteBegin(session: Session, path: string, begun: RestoreBegun): void {
  const { number } = begun.point.to;
  if (begun.how === 'go-on') session.note(`${path}: going on with the restore of point ${number}`);
  else session.debug(`${path}: point ${number}, ${begun.how}`);
}

function printRestored(
  session: Session,
  url: string,
  path: string,
  begun: RestoreBegun | null,
  { writtenBytes, equalBytes, totalBytes }: RestoreCounts,
  seconds: number,
): void {
  if (begun === null) return;
  const { point, how, behindBytes } = begun;
  const facts = { archive: url, point: pointFacts(point), path, how, behindBytes };
  const restored = { ...facts, sizeBytes: totalBytes, writtenBytes, equalBytes, seconds };
  session.print(restored, renderRestored(restored));
}

async function diff(
  session: Session,
  url: string,
  second: string,
  flags: ArchiveFlags,
): Promise<number> {
  const one = await demandPoint(session, url, flags);
  const isUrl = second.includes('://');
  const other = isUrl
    ? await demandPoint(session, second, flags)
    : { request: one.request, point: writtenPoint(second) };
  const { openArchive } = session.machinery;
  return await reading(await openArchive(one.request), async (archive) => {
    const isOne = other.request.url === one.request.url;
    const there = isOne ? archive : await openArchive(other.request);
    try {
      const [point, otherPoint] = [await archive.point(one.point), await there.point(other.point)];
      const ranges: { offset: number; length: number }[] = [];
      const counts = await archive.compare(point, there, otherPoint, (range) => {
        if (ranges.length < RANGES_MAX) ranges.push(range);
      });
      const facts = (reader: ArchiveReader, of: ArchivePoint) => ({
        archive: reader.url,
        ...pointFacts(of),
        sizeBytes: of.sizeBytes,
      });
      const list: DifferenceList = {
        points: [facts(archive, point), facts(there, otherPoint)],
        differingBytes: counts.bytes,
        ranges,
        rangesLeftOut: counts.ranges - ranges.length,
      };
      session.print(list, renderDifferences(list));
      return EXIT.ok;
    } finally {
      if (!isOne) await there.close();
    }
  });
}

async function pin(
  session: Session,
  url: string,
  label: string,
  flags: ArchiveFlags,
): Promise<number> {
  const { request, point } = await demandPoint(session, url, flags);
  const text = pointNameFault(label);
  if (text !== null) {
    throw new CliError({ code: 'CLI_BAD_VALUE', option: 'name', value: label, text });
  }
  return await reading(await session.machinery.openArchive(request), async (archive) => {
    const pinned = await archive.pin(point, label);
    const facts = { archive: archive.url, name: label, point: pointFacts(pinned) };
    const named = `${archive.url}@${label}`;
    session.print(facts, `${named}: point ${pinned.to.number}, which stays until it is unpinned\n`);
    return EXIT.ok;
  });
}

async function unpin(session: Session, url: string, flags: ArchiveFlags): Promise<number> {
  const { what, point: label } = splitAtPoint(url);
  const { request } = await demandArchive(session, what, flags);
  if (label === null || pointNameFault(label) !== null) {
    const text = `${url} names no pin; write ${what}@NAME`;
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  return await reading(await session.machinery.openArchive(request), async (archive) => {
    const { point } = await archive.unpin(label);
    const { number, timeMs } = point;
    const facts = { archive: archive.url, name: label, point: { number, time: isoTime(timeMs) } };
    session.print(facts, `${archive.url}@${number}: has no name any more\n`);
    return EXIT.ok;
  });
}
