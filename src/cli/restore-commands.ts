// restore, diff, pin, unpin: what is done with points; `points` and `verify` are in
// point-commands.ts. What was written decides: of an archive all is done here, on any machine, by
// its url and, if it is sealed, its key; what hastd keeps of a resource is in past-points.ts.
import type { Command } from 'commander';
import { isoTime } from '../base/clock.js';
import { hex } from '../base/random.js';
import { EXIT } from '../control/exit-status.js';
import type { PrunedPoint } from '../control/retention-api.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { pointNameFault, splitAtPoint } from '../lineage/point-spec.js';
import type { ArchiveReader, WrittenPoint } from '../restore/archive-reader.js';
import {
  type ArchiveAddress,
  type ArchiveFlags,
  archiveAddress,
  pointOf,
  resourcePoint,
  withArchiveOptions,
  writtenPoint,
} from './archive-address.js';
import { CliError } from './fault.js';
import { diffPast, restorePast } from './past-points.js';
import { DIFF_RANGES_MAX, renderDifferences } from './render-points.js';
import { type RestoreFlags, type RestoreWords, restoring } from './restoring.js';
import type { Run, Session } from './session.js';

const ANY_POINT = 'RESOURCE@POINT on its secondary, RESOURCE/ARCHIVE@POINT or URL@POINT';

export function addRestoreCommands(program: Command, run: Run): void {
  const described = (verb: string, description: string): Command =>
    withArchiveOptions(program.command(verb).description(description));
  described('restore', 'make a disk as of a point; of an archive it needs no daemon')
    .argument('<point>', ANY_POINT)
    .argument('<path>', 'file to make, or with --delta an existing file or device')
    .option('--delta', 'make what is there equal to the point: its content goes')
    .action((written: string, path: string, flags: RestoreFlags) =>
      run((session) => restore(session, { written, path, flags })),
    );
  described('diff', 'what differs between two points; reads no data')
    .argument('<point>', ANY_POINT)
    .argument('<point>', 'another one so, or only what is behind its @')
    .action((written: string, other: string, flags: ArchiveFlags) =>
      run((session) => diff(session, written, other, flags)),
    );
  described('pin', 'give a point a name; it stays as long as it has that')
    .argument('<point>', ANY_POINT)
    .argument('<label>', 'its name: letters, digits and . _ -')
    .action((url: string, label: string, flags: ArchiveFlags) =>
      run((session) => pin(session, url, label, flags)),
    );
  described('unpin', 'take the name of a point away; it may go with the next round')
    .argument('<point>', 'RESOURCE@LABEL, or s3://BUCKET/PREFIX/NAME@LABEL')
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

async function restore(session: Session, words: RestoreWords): Promise<number> {
  const { written, flags } = words;
  const address = await archiveAddress(session, written, flags);
  if (address === null) return await restorePast(session, resourcePoint(written), words);
  const { request } = address;
  const point = pointOf(address, written);
  const verify = `which points are whole, says: hastctl verify ${request.url}`;
  return await restoring(session, words, verify, async (order) =>
    reading(await session.machinery.openArchive(request), async (archive) => {
      const found = await archive.point(point);
      const counts = await archive.restore(found, order(found.to.number));
      const of = { archive: archive.url };
      return { of, point: pointFacts(found), damagedChunks: found.damagedChunks, counts };
    }),
  );
}

async function diff(
  session: Session,
  written: string,
  second: string,
  flags: ArchiveFlags,
): Promise<number> {
  const address = await archiveAddress(session, written, flags);
  // What names an archive or a resource has one of these; a point has none.
  const isWhole = /[@/]/.test(second);
  const there = isWhole ? await archiveAddress(session, second, flags) : address;
  if (address !== null && there !== null) {
    const point = isWhole ? pointOf(there, second) : writtenPoint(second);
    const one = { ...address, point: pointOf(address, written) };
    return await diffArchives(session, one, { ...there, point });
  }
  if (address !== null || there !== null) {
    const text = 'a point of an archive is compared with another of an archive';
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  const one = resourcePoint(written);
  return await diffPast(session, one, resourcePoint(isWhole ? second : `${one.name}@${second}`));
}

type AddressedPoint = ArchiveAddress & { readonly point: WrittenPoint };

async function diffArchives(
  session: Session,
  one: AddressedPoint,
  other: AddressedPoint,
): Promise<number> {
  const { openArchive } = session.machinery;
  return await reading(await openArchive(one.request), async (archive) => {
    const isOne = other.request.url === one.request.url;
    const there = isOne ? archive : await openArchive(other.request);
    try {
      const [point, otherPoint] = [await archive.point(one.point), await there.point(other.point)];
      const ranges: { offset: number; length: number }[] = [];
      const counts = await archive.compare(point, there, otherPoint, (range) => {
        if (ranges.length < DIFF_RANGES_MAX) ranges.push(range);
      });
      const facts = (reader: ArchiveReader, of: ArchivePoint) => ({
        archive: reader.url,
        ...pointFacts(of),
        sizeBytes: of.sizeBytes,
      });
      const list = {
        points: [facts(archive, point), facts(there, otherPoint)],
        differingBytes: counts.bytes,
        ranges,
        rangesLeftOut: counts.ranges - ranges.length,
      };
      const names = list.points.map(({ archive: url }) => url);
      session.print(list, renderDifferences(list, names, 'chunks of 64 KiB'));
      return EXIT.ok;
    } finally {
      if (!isOne) await there.close();
    }
  });
}

async function pin(
  session: Session,
  written: string,
  label: string,
  flags: ArchiveFlags,
): Promise<number> {
  const text = pointNameFault(label);
  if (text !== null) {
    throw new CliError({ code: 'CLI_BAD_VALUE', option: 'name', value: label, text });
  }
  const said = (where: string, { number }: Pick<PrunedPoint, 'number'>): string =>
    `${where}@${label}: point ${number}, which stays until it is unpinned\n`;
  const address = await archiveAddress(session, written, flags);
  if (address === null) {
    const { name, point: meant } = resourcePoint(written);
    const client = await session.client();
    const { point } = await client.pin(name, { point: meant.text, label });
    session.print({ resource: name, name: label, point }, said(name, point));
    return EXIT.ok;
  }
  const spec = pointOf(address, written);
  return await reading(await session.machinery.openArchive(address.request), async (archive) => {
    const pinned = await archive.pin(spec, label);
    const facts = { archive: archive.url, name: label, point: pointFacts(pinned) };
    session.print(facts, said(archive.url, pinned.to));
    return EXIT.ok;
  });
}

async function unpin(session: Session, written: string, flags: ArchiveFlags): Promise<number> {
  const { what, point: label } = splitAtPoint(written);
  const address = await archiveAddress(session, what, flags);
  if (label === null || pointNameFault(label) !== null) {
    const text = `${written} names no pin; write ${what}@NAME`;
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  const said = (where: string, { number }: Pick<PrunedPoint, 'number'>): string =>
    `${where}@${number}: has no name any more\n`;
  if (address === null) {
    const { name } = resourcePoint(written);
    const { point } = await (await session.client()).pin(name, { point: label, label: null });
    session.print({ resource: name, name: label, point }, said(name, point));
    return EXIT.ok;
  }
  return await reading(await session.machinery.openArchive(address.request), async (archive) => {
    const { point } = await archive.unpin(label);
    const { number, timeMs } = point;
    const facts = { archive: archive.url, name: label, point: { number, time: isoTime(timeMs) } };
    session.print(facts, said(archive.url, point));
    return EXIT.ok;
  });
}
