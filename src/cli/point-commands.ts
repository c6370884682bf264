// points and verify: of a resource of the daemon, or of an archive. What was written decides. Of an
// archive all is done here, without the daemon: what its points need is read and checked against
// their digests; a point that hastd keeps of a resource is read by that (past-points.ts).
import type { Command } from 'commander';
import { isoTime } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import { hex } from '../base/random.js';
import { MIB } from '../base/units.js';
import { sizeBytes } from '../config/value.js';
import type { ControlClient } from '../control/client.js';
import { EXIT, exitStatusOf } from '../control/exit-status.js';
import { splitAtPoint } from '../lineage/point-spec.js';
import type { ArchiveReader, CheckWatch } from '../restore/archive-reader.js';
import type { PointRow } from '../restore/point-table.js';
import {
  type ArchiveAddress,
  type ArchiveFlags,
  archiveAddress,
  resourcePoint,
  withArchiveOptions,
} from './archive-address.js';
import { CliError } from './fault.js';
import { verifyPast } from './past-points.js';
import { showWork } from './progress.js';
import {
  type ArchivePointRecord,
  type Checked,
  damageText,
  renderArchivePoints,
  renderChecked,
} from './render-archive.js';
import { renderPoints, renderVerify } from './render-tables.js';
import { reading } from './restore-commands.js';
import type { Run, Session } from './session.js';

interface VerifyFlags extends ArchiveFlags {
  readonly deep?: boolean;
  readonly quick?: boolean;
  readonly sample?: string;
  readonly budget?: string;
  readonly memory?: string;
}

export function addPointCommands(program: Command, run: Run): void {
  const points = program
    .command('points')
    .description('restore points: of a resource here, or of an archive')
    .argument('<name>', 'resource, RESOURCE/ARCHIVE, or url of an archive');
  withArchiveOptions(points).action((name: string, flags: ArchiveFlags) =>
    run((session) => listPoints(session, name, flags)),
  );
  const verify = program
    .command('verify')
    .description('compare a resource with its targets; or read an archive or a point and check it')
    .argument(
      '<name>',
      'resource on its primary, a point RESOURCE@POINT, or an archive: URL[@POINT]',
    )
    .option('--deep', 'of a resource: compare the disks, past the page cache')
    .option('--quick', 'of an archive: only that every pack is there')
    .option('--sample <share>', 'of an archive: only so much of it, drawn anew each time: 5%')
    .option('--budget <bytes>', 'of an archive: so much of what was read longest ago: 2G')
    .option('--memory <file>', 'with --budget: what was read, and when');
  withArchiveOptions(verify).action((name: string, flags: VerifyFlags) =>
    run((session) => verifyAny(session, name, flags)),
  );
}

async function listPoints(session: Session, name: string, flags: ArchiveFlags): Promise<number> {
  const nowMs = session.machinery.clock.wallMs();
  const address = await archiveAddress(session, name, flags);
  const { point } = splitAtPoint(name);
  if (point !== null) {
    const text = `points lists all that there are; leave out @${point}`;
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  if (address === null) {
    const answer = await (await session.client()).points(name);
    session.print(answer, renderPoints(name, answer.points, nowMs));
    return EXIT.ok;
  }
  return await reading(await session.machinery.openArchive(address.request), async (archive) => {
    const { rows, newer } = await archive.points();
    const points = rows.map(pointRecord).reverse();
    const answer = { archive: archive.url, points, newerLost: newer.map(({ why }) => why) };
    session.print(answer, renderArchivePoints(answer, nowMs));
    return EXIT.ok;
  });
}

const pointRecord = (row: PointRow): ArchivePointRecord => ({
  id: row.point === null ? null : hex(row.point.to.id),
  number: row.number,
  time: isoTime(row.timeMs),
  name: row.name,
  epoch: row.place.epoch,
  sequence: row.place.sequence,
  consistency: row.point?.consistency ?? null,
  damagedChunks: row.point?.damagedChunks ?? null,
  sizeBytes: row.point?.sizeBytes ?? null,
  changedBytes: row.point?.blockBytes ?? null,
  storedBytes: row.point?.storedBytes ?? null,
  damage: row.point === null ? describeError(row.error) : null,
});

async function verifyAny(session: Session, name: string, flags: VerifyFlags): Promise<number> {
  const { deep = false, quick = false, sample, budget, memory } = flags;
  const address = await archiveAddress(session, name, flags);
  const { point } = splitAtPoint(name);
  if (deep && (address !== null || point !== null)) {
    const text = `--deep is of a resource; ${name} is always read as a whole`;
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  if (address === null) {
    if (point !== null) return await verifyPast(session, resourcePoint(name));
    return await verifyResource(session, name, deep);
  }
  if (quick && sample !== undefined) {
    throw new CliError({ code: 'CLI_USAGE', text: '--quick reads nothing to be sampled' });
  }
  if (budget !== undefined || memory !== undefined) {
    return await verifyByAge(session, address, ageOrder(name, flags));
  }
  return await verifyArchive(session, address, quick, sample === undefined ? 1 : shareOf(sample));
}

/** `5%`, `0.5%`. */
function shareOf(text: string): number {
  const percent = /^\d+(\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (percent > 0 && percent <= 100) return percent / 100;
  const why = 'it is a share such as 5%, above 0 and at most 100%';
  throw new CliError({ code: 'CLI_BAD_VALUE', option: '--sample', value: text, text: why });
}

async function verifyArchive(
  session: Session,
  { request, point }: ArchiveAddress,
  quick: boolean,
  share: number,
): Promise<number> {
  return await checking(session, request, !quick, async (archive, watch) =>
    quick
      ? { archive: archive.url, checked: 'packs', ...(await archive.checkPacks(point, watch)) }
      : {
          archive: archive.url,
          checked: 'chunks',
          share,
          ...(await archive.check(point, share, watch)),
        },
  );
}

/** Errors MEMORY_OTHER, those of the file. */
async function verifyByAge(
  session: Session,
  { request }: ArchiveAddress,
  order: AgeOrder,
): Promise<number> {
  const nowMs = (): number => session.machinery.clock.wallMs();
  return await checking(session, request, true, async (archive, watch) => {
    const checked = await archive.checkByAge({ ...order, ...watch, nowMs });
    if (checked.forgotten !== null) session.note(`${checked.forgotten}; it begins anew`);
    const { oldestMs, ...looked } = checked.looked;
    const oldest = oldestMs === null ? null : isoTime(oldestMs);
    return {
      archive: archive.url,
      checked: 'age',
      budgetBytes: order.budgetBytes,
      ...checked,
      looked: { ...looked, oldest },
    };
  });
}

/** Reads it, shows what came of it; the exit status. */
async function checking(
  session: Session,
  request: ArchiveAddress['request'],
  inBytes: boolean,
  check: (archive: ArchiveReader, watch: CheckWatch) => Promise<Checked>,
): Promise<number> {
  const signal = session.machinery.interrupted();
  const work = showWork(session, request.url);
  const watch = {
    signal,
    onProgress: (done: number, total: number) => work.show(done, total, inBytes),
  };
  return await reading(await session.machinery.openArchive(request), async (archive) => {
    let checked: Checked;
    try {
      checked = await check(archive, watch);
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new CliError({ code: 'VERIFY_STOPPED', what: archive.url });
    } finally {
      work.end();
    }
    session.print(checked, renderChecked(checked, session.machinery.clock.wallMs()));
    const damaged = damageText(checked);
    if (damaged === null) return EXIT.ok;
    return session.fail(new CliError({ code: 'ARCHIVE_DAMAGED', url: archive.url, damaged }));
  });
}

interface AgeOrder {
  readonly budgetBytes: number;
  readonly memory: string;
}

/** A pack is read whole: less than the longest one would read nothing. */
const BUDGET_BYTES_MIN = 64 * MIB;

/** Errors CLI_USAGE, CLI_BAD_VALUE. */
function ageOrder(name: string, { budget, memory, quick, sample }: VerifyFlags): AgeOrder {
  const fault = ((): string | null => {
    const { what, point } = splitAtPoint(name);
    if (budget === undefined) return '--memory is of a verification with --budget BYTES';
    if (memory === undefined) return '--budget goes on where it was; add --memory FILE';
    if (quick === true) return '--quick reads nothing, and --budget looks for every pack, too';
    if (sample !== undefined) return '--sample draws what is read, --budget goes by age; write one';
    return point === null ? null : `--budget is of all points; write ${what}`;
  })();
  if (fault !== null || budget === undefined || memory === undefined) {
    throw new CliError({ code: 'CLI_USAGE', text: fault ?? '' });
  }
  const bytes = sizeBytes(budget);
  if (bytes !== null && bytes >= BUDGET_BYTES_MIN) return { budgetBytes: bytes, memory };
  const text = 'it is a size such as 2G, at least 64M, for packs are read whole';
  throw new CliError({ code: 'CLI_BAD_VALUE', option: '--budget', value: budget, text });
}

async function verifyResource(session: Session, name: string, deep: boolean): Promise<number> {
  const client: ControlClient = await session.client();
  const answer = await client.verify(name, deep, new AbortController().signal);
  session.print(answer, renderVerify(name, answer));
  const chunks = answer.results.reduce((sum, result) => sum + result.differing, 0);
  if (chunks === 0) return EXIT.ok;
  session.fail(new CliError({ code: 'VERIFY_DIFFERS', name, chunks }));
  return exitStatusOf('VERIFY_DIFFERS');
}
