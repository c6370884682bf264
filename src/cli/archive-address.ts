// An archive or a point as people write it on the command line, with what is needed to open it:
// everything that takes one asks here, so that another way of naming one is added in one place.
//   s3://BUCKET/PREFIX/vm1[@POINT], file:///DIRECTORY/vm1[@POINT]
//   vm1/offsite[@POINT]    an archive of the configuration, with what that says of it
//   vm1@POINT              a point that hastd keeps of a resource
// How it is reached stands beside a url in options; credentials come from the usual AWS places.
import type { Command } from 'commander';
import { pointSpec, splitAtPoint } from '../lineage/point-spec.js';
import type { WrittenPoint } from '../restore/archive-reader.js';
import { CliError } from './fault.js';
import { type ArchiveRequest, resourceOf, type Session, type StoreRequest } from './session.js';

/** Options of every command that may take an archive. */
export interface StoreFlags {
  readonly endpoint?: string;
  readonly region?: string;
  readonly checksums?: string;
}

export interface ArchiveFlags extends StoreFlags {
  readonly key?: string;
}

export interface ArchiveAddress {
  readonly request: ArchiveRequest;
  /** Behind the @; null: there was none. */
  readonly point: WrittenPoint | null;
}

export const withStoreOptions = (command: Command): Command =>
  command
    .option('--endpoint <url>', 'of an S3 server that is not AWS')
    .option('--region <name>', 'of the bucket; default: of the usual AWS places')
    .option('--checksums <when>', 'supported, or required: for servers without them');

export const withArchiveOptions = (command: Command): Command =>
  withStoreOptions(command).option('--key <path>', 'that the archive is sealed with');

/** A point that hastd keeps. */
export interface ResourcePoint {
  readonly name: string;
  readonly point: WrittenPoint;
}

/** What was written, as an archive; null: it names none, but a resource of the daemon. `flags`: all
 * options of the command. Errors CLI_BAD_VALUE, CLI_USAGE. */
export async function archiveAddress(
  session: Session,
  written: string,
  flags: ArchiveFlags,
): Promise<ArchiveAddress | null> {
  if (!written.includes('://')) {
    const configured = await configuredArchive(session, written, flags);
    if (configured !== null) return configured;
    const [flag] = Object.keys(flags).filter((name) => OF_ARCHIVES.has(name));
    if (flag === undefined) return null;
    const text = `--${flag} is for an archive, and ${written} is none`;
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  const { what, point } = splitAtPoint(written);
  const request = { ...storeRequest(what, flags), keyPath: flags.key ?? null };
  return { request, point: point === null ? null : writtenPoint(point) };
}

/** `RESOURCE/ARCHIVE[@POINT]`; null: it is none of these. Errors CLI_UNKNOWN_RESOURCE, CLI_USAGE,
 * CONFIG_…. */
async function configuredArchive(
  session: Session,
  written: string,
  flags: ArchiveFlags,
): Promise<ArchiveAddress | null> {
  const { what, point } = splitAtPoint(written);
  const [name = '', target, ...rest] = what.split('/');
  if (target === undefined || rest.length > 0) return null;
  const { targets } = resourceOf(await session.settings(), name);
  const archive = targets.find((one) => one.name === target)?.archive ?? null;
  if (archive === null) {
    const known = targets.filter((one) => one.archive !== null).map((one) => one.name);
    const text = `${name} has no archive ${target} (there is: ${known.join(', ') || 'none'})`;
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  const { url, endpoint, region, checksums, keyPath } = archive;
  const request = { url, endpoint, region, checksums, keyPath: flags.key ?? keyPath };
  return { request, point: point === null ? null : writtenPoint(point) };
}

/** By name, as commander has them. */
const OF_ARCHIVES: ReadonlySet<string> = new Set([
  ...['endpoint', 'region', 'checksums', 'key', 'quick', 'sample', 'budget', 'memory'],
  ...['writable', 'overlay', 'socket', 'listen', 'cache', 'once'],
]);

/** Error CLI_USAGE: there is none. */
export function pointOf({ point }: ArchiveAddress, written: string): WrittenPoint {
  if (point !== null) return point;
  throw noPoint(written);
}

/** RESOURCE@POINT. Errors CLI_USAGE, CLI_BAD_VALUE. */
export function resourcePoint(written: string): ResourcePoint {
  const { what: name, point } = splitAtPoint(written);
  if (point === null) throw noPoint(written);
  if (name !== '') return { name, point: writtenPoint(point) };
  const text = `${written} names no resource; write RESOURCE${written}`;
  throw new CliError({ code: 'CLI_USAGE', text });
}

function noPoint(written: string) {
  const text = `${written} names no point; add one, ${written}@latest for the newest`;
  return new CliError({ code: 'CLI_USAGE', text });
}

/** What stands behind an @. Error CLI_BAD_VALUE. */
export function writtenPoint(text: string): WrittenPoint {
  const spec = pointSpec(text);
  if (typeof spec !== 'string') return { text, spec };
  throw new CliError({ code: 'CLI_BAD_VALUE', option: 'point', value: text, text: spec });
}

/** Error CLI_BAD_VALUE. */
export function storeRequest(url: string, flags: StoreFlags): Omit<StoreRequest, 'storageClass'> {
  const { endpoint = null, region = null, checksums = 'supported' } = flags;
  if (checksums !== 'supported' && checksums !== 'required') {
    const text = 'it is supported or required';
    throw new CliError({ code: 'CLI_BAD_VALUE', option: '--checksums', value: checksums, text });
  }
  if (endpoint !== null && !/^https?:\/\/[^/?#@]+\/?$/.test(endpoint)) {
    const text = 'it is written http://host[:port] or https://host[:port]';
    throw new CliError({ code: 'CLI_BAD_VALUE', option: '--endpoint', value: endpoint, text });
  }
  return { url, endpoint, region, checksums };
}
