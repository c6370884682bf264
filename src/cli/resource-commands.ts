// create and role: what a resource is on this node. create works through the daemon, or without
// one directly on the state directory, as HAST's does. Sizes on the command line take k M G T.
import type { Command } from 'commander';
import { codeOf } from '../base/errors.js';
import {
  BLOCK_BYTES,
  DISK_BYTES_MAX,
  EXTENT_BYTES_DEFAULT,
  GIB,
  SECTOR_BYTES,
} from '../base/units.js';
import type { NodeSettings } from '../config/settings.js';
import { sizeBytes, wholeNumber } from '../config/value.js';
import type { CreateRequest, Role } from '../control/api.js';
import { EXIT } from '../control/exit-status.js';
import { CliError } from './fault.js';
import { type Run, type Session, statusOf } from './session.js';

/** HAST's default: extents that keep their bit in the intent map. */
const KEEPDIRTY_DEFAULT = 64;
const KEEPDIRTY_MAX = 1_000_000;
const ROLES: readonly Role[] = ['init', 'primary', 'secondary'];

interface CreateOptions {
  readonly extentsize?: string;
  readonly keepdirty?: string;
  readonly mediasize?: string;
  readonly force?: boolean;
}

export function addResourceCommands(program: Command, run: Run): void {
  program
    .command('create')
    .description('make the state of resources; an existing disk is adopted as it stands')
    .argument('<name...>', 'resources of the configuration')
    .option('-e, --extentsize <size>', 'grain of the intent map, a power of two (2M)')
    .option('-k, --keepdirty <count>', 'extents that stay marked (64)')
    .option('-m, --mediasize <size>', 'make a sparse file of this size if the disk is absent')
    .option('--force', 'keep existing state aside and start anew')
    .action((names: string[], options: CreateOptions) =>
      run((session) => create(session, names, createRequest(options))),
    );
  program
    .command('role')
    .description('change the role of resources')
    .argument('<role>', ROLES.join(', '))
    .argument('<name...>', 'resources, or all')
    .option('--accept-loss', 'promote though the primary may have newer data')
    .action((role: string, names: string[], options: { acceptLoss?: boolean }) =>
      run((session) => changeRole(session, readRole(role), names, options.acceptLoss ?? false)),
    );
}

/** Checks of HAST's create, and that extents are powers of two. Error CLI_BAD_VALUE. */
function createRequest(options: CreateOptions): CreateRequest {
  const extentBytes = readSize('-e', options.extentsize);
  if (extentBytes !== null && !isExtentSize(extentBytes)) {
    throw badValue('-e', options.extentsize, 'not a power of two of 4k to 1G (try 2M)');
  }
  const mediaBytes = readSize('-m', options.mediasize);
  if (mediaBytes !== null && (mediaBytes === 0 || mediaBytes % SECTOR_BYTES !== 0)) {
    throw badValue('-m', options.mediasize, `not a multiple of ${SECTOR_BYTES}`);
  }
  return {
    extentBytes,
    keepdirty: readCount(options.keepdirty),
    mediaBytes,
    force: !!options.force,
  };
}

const isExtentSize = (bytes: number): boolean =>
  bytes >= BLOCK_BYTES && bytes <= GIB && Number.isInteger(Math.log2(bytes));

function readCount(text: string | undefined): number | null {
  if (text === undefined) return null;
  const count = wholeNumber(text);
  if (count !== null && count <= KEEPDIRTY_MAX) return count;
  throw badValue('-k', text, `not a number of 0..${KEEPDIRTY_MAX}`);
}

function readSize(option: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const bytes = sizeBytes(text);
  if (bytes === null) throw badValue(option, text, 'not a size; write a number with k, M, G or T');
  if (bytes > DISK_BYTES_MAX) throw badValue(option, text, 'larger than 256T');
  return bytes;
}

const badValue = (option: string, value: string | undefined, text: string) =>
  new CliError({ code: 'CLI_BAD_VALUE', option, value: value ?? '', text });

async function create(
  session: Session,
  names: readonly string[],
  request: CreateRequest,
): Promise<number> {
  const settings = await session.settings();
  for (const name of names) resourceOf(settings, name);
  const client = await session.client();
  return await each(session, names, 'created', async (name) => {
    try {
      return await client.create(name, request);
    } catch (error) {
      if (codeOf(error) !== 'CONTROL_UNREACHABLE') throw error;
      session.debug('hastd does not answer: working on the state directory');
    }
    return await session.machinery.createDirect({
      statedir: settings.statedir,
      name,
      local: resourceOf(settings, name).local,
      extentBytes: request.extentBytes ?? EXTENT_BYTES_DEFAULT,
      keepdirty: request.keepdirty ?? KEEPDIRTY_DEFAULT,
      mediaBytes: request.mediaBytes,
      force: request.force,
      nowMs: session.machinery.clock.wallMs(),
    });
  });
}

function resourceOf(settings: NodeSettings, name: string) {
  const found = settings.resources.find((resource) => resource.name === name);
  if (found) return found;
  const known = settings.resources.map((resource) => resource.name).join(', ') || 'none';
  throw new CliError({ code: 'CLI_UNKNOWN_RESOURCE', name, path: settings.path, known });
}

function readRole(text: string): Role {
  const role = ROLES.find((candidate) => candidate === text);
  if (role) return role;
  const wanted = `${text} is not a role; write one of ${ROLES.join(', ')}`;
  throw new CliError({ code: 'CLI_USAGE', text: wanted });
}

async function changeRole(
  session: Session,
  role: Role,
  names: readonly string[],
  acceptLoss: boolean,
): Promise<number> {
  const client = await session.client();
  const chosen = names.includes('all')
    ? (await client.status([])).resources.map((resource) => resource.name)
    : names;
  return await each(session, chosen, role, (name) => client.role(name, { role, acceptLoss }));
}

/**
 * Does something to each resource, going on after a failure. The status is that of the first
 * failure, as HAST's. With --json: `{"resources":[{"name","notes","error"}]}`.
 */
async function each(
  session: Session,
  names: readonly string[],
  done: string,
  action: (name: string) => Promise<{ readonly notes: readonly string[] }>,
): Promise<number> {
  let status: number = EXIT.ok;
  const resources: { name: string; notes: readonly string[]; error: string | null }[] = [];
  const lines: string[] = [];
  for (const name of names) {
    try {
      const { notes } = await action(name);
      resources.push({ name, notes, error: null });
      lines.push(`${name}: ${done}\n`, ...notes.map((note) => `  ${note}\n`));
    } catch (error) {
      if (names.length === 1) throw error;
      resources.push({ name, notes: [], error: codeOf(error) ?? 'CONTROL_FAILED' });
      session.fail(error);
      if (status === EXIT.ok) status = statusOf(error);
    }
  }
  session.print({ resources }, lines.join(''));
  return status;
}
