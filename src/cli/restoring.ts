// One run of `restore`, whoever has the point: progress while it is written, what is said when it
// breaks off, and what it came to. The command that goes on with it, or that overwrites what is
// there, is told as it would be typed.
import { present } from '../base/assert.js';
import { codeOf } from '../base/errors.js';
import { EXIT } from '../control/exit-status.js';
import type { RestoreBegun, RestoreOrder } from '../restore/onto-path.js';
import type { RestoreCounts } from '../restore/to-disk.js';
import type { ArchiveFlags } from './archive-address.js';
import { quoted } from './completion-tree.js';
import { CliError } from './fault.js';
import { showWork } from './progress.js';
import { type RestoredPoint, renderRestored } from './render-points.js';
import { CONFIG_PATH_DEFAULT, type Session } from './session.js';

export interface RestoreFlags extends ArchiveFlags {
  readonly delta?: boolean;
}

/** What was typed. */
export interface RestoreWords {
  /** The point. */
  readonly written: string;
  readonly path: string;
  readonly flags: RestoreFlags;
}

/** What was written, and of what. */
export interface Written {
  /** `archive` or `resource`: whose point it is. */
  readonly of: { readonly archive: string } | { readonly resource: string };
  readonly point: RestoredPoint;
  /** Chunks that the primary could not read at the cut. */
  readonly damagedChunks: number;
  readonly counts: RestoreCounts;
}

/** Another point may be without it. */
const DAMAGE: ReadonlySet<string> = new Set([
  ...['FORMAT_BAD', 'STORE_MISSING', 'STORE_SHORT'],
  ...['POINT_CHUNK_LOST', 'POINT_CHUNK_BAD'],
]);

/** Writes the point; `order`: of the one that was meant, by its number. */
export type Write = (
  order: (number: number) => RestoreOrder,
  signal: AbortSignal,
) => Promise<Written>;

/** `verify`: what a damaged point is looked at with. Errors RESTORE_STOPPED, those of `write`. */
export async function restoring(
  session: Session,
  { written, path, flags }: RestoreWords,
  verify: string,
  write: Write,
): Promise<number> {
  const { clock, interrupted } = session.machinery;
  const signal = interrupted();
  const startMs = clock.monotonicMs();
  const seen: { begun: RestoreBegun | null; last: Readonly<RestoreCounts> | null } = {
    begun: null,
    last: null,
  };
  const work = showWork(session, path);
  const order = (number: number): RestoreOrder => ({
    path,
    delta: flags.delta ?? false,
    command: asTyped(session, written, path, flags),
    signal,
    onBegin: (begun) => {
      seen.begun = begun;
      if (begun.how !== 'go-on') session.debug(`${path}: point ${number}, ${begun.how}`);
      else session.note(`${path}: going on with the restore of point ${number}`);
    },
    onProgress: (counts) => {
      seen.last = counts;
      work.show(counts.doneBytes, counts.totalBytes);
    },
  });
  try {
    const done = await write(order, signal);
    work.end();
    const begun = present(seen.begun, 'what has ended had begun');
    print(session, path, begun, done, (clock.monotonicMs() - startMs) / 1000);
    return EXIT.ok;
  } catch (error) {
    work.end();
    const wasGivenUp = signal.aborted && codeOf(error) === 'ABORT_ERR';
    if (seen.begun === null && !wasGivenUp) throw error;
    const { doneBytes, totalBytes } = seen.last ?? { doneBytes: 0, totalBytes: 1 };
    const percent = Math.floor((100 * doneBytes) / totalBytes);
    const stopped = new CliError({ code: 'RESTORE_STOPPED', path, percent });
    if (signal.aborted) throw stopped;
    session.note(stopped.message);
    if (DAMAGE.has(codeOf(error) ?? '')) session.note(verify);
    throw error;
  }
}

/** The whole command with --delta, to be copied from the terminal. */
function asTyped(session: Session, written: string, path: string, flags: ArchiveFlags): string {
  const word = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : quoted(text));
  const { config, node } = session.options;
  const isOfConfig = !written.includes('://');
  const options = Object.entries({
    delta: true,
    ...(isOfConfig && config !== CONFIG_PATH_DEFAULT ? { config } : {}),
    ...(isOfConfig && node !== null ? { node } : {}),
    ...flags,
  });
  const typed = options.flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, word(String(value))],
  );
  return ['hastctl restore', word(written), word(path), ...typed].join(' ');
}

function print(
  session: Session,
  path: string,
  { how, behindBytes }: RestoreBegun,
  { of, point, damagedChunks, counts }: Written,
  seconds: number,
): void {
  const { totalBytes: sizeBytes, writtenBytes, equalBytes } = counts;
  const sums = { sizeBytes, writtenBytes, equalBytes, seconds };
  const restored = { ...of, point, path, how, behindBytes, damagedChunks, ...sums };
  const name = 'archive' in of ? of.archive : of.resource;
  session.print(restored, renderRestored(name, restored));
}
