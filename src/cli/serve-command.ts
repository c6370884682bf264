// `hastctl serve`: a point as an NBD disk: of an archive on any machine, without a daemon and
// without a configuration; of a resource by hastd, beside its own disks (past-points.ts). Prints
// the URI and runs until it is interrupted, or with --once until the last client has gone.
import type { Command } from 'commander';
import { isoTime } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { Fields, Log } from '../base/log.js';
import { unlessAborted } from '../base/sync.js';
import { CHUNK_BYTES } from '../base/units.js';
import { addressOf, NBD_PORT_DEFAULT } from '../config/address.js';
import { sizeBytes } from '../config/value.js';
import { EXIT } from '../control/exit-status.js';
import type { NbdAddress } from '../nbd/addresses.js';
import type { WrittenPoint } from '../restore/archive-reader.js';
import {
  type ArchiveAddress,
  type ArchiveFlags,
  archiveAddress,
  pointOf,
  resourcePoint,
  withArchiveOptions,
} from './archive-address.js';
import { CliError } from './fault.js';
import { servePast } from './past-points.js';
import { servedNotes } from './render-points.js';
import type { ServeRequest } from './serve-point.js';
import type { Run, Session } from './session.js';

interface ServeFlags extends ArchiveFlags {
  readonly writable?: boolean;
  readonly overlay?: string;
  readonly socket?: string;
  readonly listen?: string;
  readonly cache?: string;
  readonly once?: boolean;
}

/** A set of slots has eight; less is none. */
const CACHE_BYTES_MIN = 8 * CHUNK_BYTES;

export function addServeCommand(program: Command, run: Run): void {
  const command = program
    .command('serve')
    .description('offer a point over NBD, read-only; of an archive it needs no daemon')
    .argument('<point>', 'RESOURCE@POINT on its secondary, or URL@POINT')
    .option('--writable', 'of an archive: let clients write; their changes are gone when it ends')
    .option('--overlay <path>', 'keep the changes in this file, and go on with those that it has')
    .option('--socket <path>', 'of an archive: listen on this unix socket; default: one of its own')
    .option('--listen <address>', 'of an archive: listen on tcp://127.0.0.1:PORT')
    .option('--cache <size>', 'of an archive: keep what was read in so much of the disk meanwhile')
    .option('--once', 'of an archive: end when the last client has gone');
  withArchiveOptions(command).action((point: string, flags: ServeFlags) =>
    run((session) => serveAny(session, point, flags)),
  );
}

async function serveAny(session: Session, written: string, flags: ServeFlags): Promise<number> {
  const address = await archiveAddress(session, written, flags);
  if (address === null) return await servePast(session, resourcePoint(written));
  const request = requestOf(address, pointOf(address, written), flags);
  return await serve(session, request, flags.once ?? false);
}

async function serve(session: Session, request: ServeRequest, once: boolean): Promise<number> {
  const { interrupted, servePoint } = session.machinery;
  const stop = interrupted();
  const served = await servePoint(request, logOf(session));
  try {
    const { uri, resource, number, timeMs, sizeBytes: bytes, readOnly } = served;
    const shown = { uri, resource, number, time: isoTime(timeMs), sizeBytes: bytes, readOnly };
    for (const line of servedNotes(shown, placeOf(request))) session.note(line);
    session.print(shown, `${uri}\n`);
    await unlessAborted(stop, once ? served.left : new Promise<void>(() => {}));
  } finally {
    await served.close();
  }
  return EXIT.ok;
}

const placeOf = ({ overlayPath }: ServeRequest): string =>
  overlayPath === null ? 'are gone when it ends' : `are kept in ${overlayPath}`;

/** Warnings as remarks; the rest with -d. */
function logOf(session: Session): Log {
  const line = (sentence: string, fields: Fields = {}): string => {
    const facts = Object.entries(fields).map(([name, value]) =>
      value instanceof Error ? describeError(value) : `${name} ${String(value)}`,
    );
    return facts.length === 0 ? sentence : `${sentence}: ${facts.join(', ')}`;
  };
  const say = (sentence: string, fields?: Fields): void => session.note(line(sentence, fields));
  const more = (sentence: string, fields?: Fields): void => session.debug(line(sentence, fields));
  const log: Log = { debug: more, info: more, warn: say, error: say, child: () => log };
  return log;
}

function requestOf(
  { request }: ArchiveAddress,
  point: WrittenPoint,
  flags: ServeFlags,
): ServeRequest {
  return {
    ...request,
    point: point.spec,
    pointText: point.text,
    address: listenOn(flags),
    writable: flags.writable === true || flags.overlay !== undefined,
    overlayPath: flags.overlay ?? null,
    cacheBytes: cacheOf(flags.cache),
  };
}

function listenOn({ socket, listen }: ServeFlags): NbdAddress | null {
  if (socket !== undefined && listen !== undefined) {
    const text = 'one of --socket and --listen is written, not both';
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  if (socket !== undefined) return { kind: 'unix', path: socket };
  if (listen === undefined) return null;
  try {
    const address = addressOf(listen, NBD_PORT_DEFAULT);
    if (address.kind === 'unix') return address;
    return { kind: 'tcp', host: address.host, port: address.port };
  } catch (error) {
    throw badValue('--listen', listen, describeError(error));
  }
}

function cacheOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const bytes = sizeBytes(text);
  if (bytes === null) {
    throw badValue('--cache', text, 'not a size; write a number with k, M, G or T');
  }
  if (bytes < CACHE_BYTES_MIN) throw badValue('--cache', text, 'smaller than 512k');
  return bytes;
}

const badValue = (option: string, value: string, text: string) =>
  new CliError({ code: 'CLI_BAD_VALUE', option, value, text });
