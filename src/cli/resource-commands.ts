// create, role and resize: what a resource is on this node. create works through the daemon, or
// without one directly on the state directory, as HAST's does. Sizes on the command line take
// k M G T.
import type { Command } from 'commander';
import { codeOf } from '../base/errors.js';
import {
  CHUNK_BYTES,
  DISK_BYTES_MAX,
  EXTENT_BYTES_DEFAULT,
  GIB,
  SECTOR_BYTES,
} from '../base/units.js';
import type { NodeSettings } from '../config/settings.js';
import { sizeBytes, wholeNumber } from '../config/value.js';
import type { CreateRequest, Role, RoleRequest } from '../control/api.js';
import { EXIT } from '../control/exit-status.js';
import { CliError } from './fault.js';
import { type Run, resourceOf, type Session, statusOf } from './session.js';

/** HAST's default: extents that keep their bit in the intent map. */
const KEEPDIRTY_DEFAULT = 64;
/** As src/care/create.ts has it, which is loaded only where it is needed. */
const KEEPDIRTY_MAX = 65_536;
const ROLES: readonly Role[] = ['init', 'primary', 'secondary'];

interface CreateOptions {
  readonly extentsize?: string;
  readonly keepdirty?: string;
  readonly mediasize?: string;
  readonly force?: boolean;
}

interface RoleOptions {
  readonly acceptLoss?: boolean;
  readonly acceptDrift?: boolean;
  readonly alone?: boolean;
}

interface ResizeOptions {
  readonly mediasize?: string;
  readonly disconnect?: boolean;
}

export function addResourceCommands(program: Command, run: Run): void {
  program
    .command('create')
    .description('make the state of resources; an existing disk is adopted as it stands')
    .argument('<name...>', 'resources of the configuration')
    .option('-e, --extentsize <size>', 'grain of the intent map, a power of two of 64k to 1G (2M)')
    .option('-k, --keepdirty <count>', `extents that stay marked, 0 to ${KEEPDIRTY_MAX} (64)`)
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
    .option('--accept-drift', 'promote though the disk was changed behind our back')
    .option('--alone', 'be primary again though the peer is not reached')
    .action((role: string, names: string[], options: RoleOptions) =>
      run((session) => changeRole(session, roleRequest(role, options), names)),
    );
  program
    .command('resize')
    .description('take up a larger disk; nothing is ever made smaller')
    .argument('<name>', 'resource')
    .option('-m, --mediasize <size>', 'new size (that of the disk)')
    .option('--disconnect', 'close the connections of guests for a moment')
    .action((name: string, options: ResizeOptions) =>
      run((session) => resize(session, name, options)),
    );
}

/** Checks of HAST's create, and that extents are powers of two. Error CLI_BAD_VALUE. */
function createRequest(options: CreateOptions): CreateRequest {
  const extentBytes = readSize('-e', options.extentsize);
  if (extentBytes !== null && !isExtentSize(extentBytes)) {
    throw badValue('-e', options.extentsize, 'not a power of two of 64k to 1G (try 2M)');
  }
  return {
    extentBytes,
    keepdirty: readCount(options.keepdirty),
    mediaBytes: readMediaSize(options.mediasize),
    force: !!options.force,
  };
}

function readMediaSize(text: string | undefined): number | null {
  const bytes = readSize('-m', text);
  if (bytes === null || (bytes > 0 && bytes % SECTOR_BYTES === 0)) return bytes;
  throw badValue('-m', text, `not a multiple of ${SECTOR_BYTES}`);
}

const isExtentSize = (bytes: number): boolean =>
  bytes >= CHUNK_BYTES && bytes <= GIB && Number.isInteger(Math.log2(bytes));

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
    return await createDirect(session, settings, name, request);
  });
}

/** Without the daemon. One that runs all the same has the lock of the state directory. */
async function createDirect(
  session: Session,
  settings: NodeSettings,
  name: string,
  request: CreateRequest,
): Promise<{ readonly notes: readonly string[] }> {
  try {
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
  } catch (error) {
    if (codeOf(error) === 'DAEMON_RUNNING') {
      const where = `it does not answer on ${settings.control}`;
      session.note(`${where}; does its configuration name another control socket?`);
    }
    throw error;
  }
}

function roleRequest(text: string, options: RoleOptions): RoleRequest {
  const role = ROLES.find((candidate) => candidate === text);
  if (role === undefined) {
    const wanted = `${text} is not a role; write one of ${ROLES.join(', ')}`;
    throw new CliError({ code: 'CLI_USAGE', text: wanted });
  }
  const { acceptLoss = false, acceptDrift = false, alone = false } = options;
  return { role, acceptLoss, acceptDrift, alone };
}

async function changeRole(
  session: Session,
  request: RoleRequest,
  names: readonly string[],
): Promise<number> {
  const client = await session.client();
  const chosen = names.includes('all')
    ? (await client.status([])).resources.map((resource) => resource.name)
    : names;
  return await each(session, chosen, request.role, (name) => client.role(name, request));
}

async function resize(session: Session, name: string, options: ResizeOptions): Promise<number> {
  const sizeBytes = readMediaSize(options.mediasize);
  const client = await session.client();
  const answer = await client.resize(name, { sizeBytes, disconnect: options.disconnect ?? false });
  // The notes say what became of it; where it has that size already nothing was done.
  session.print(answer, answer.notes.map((note) => `${note}\n`).join(''));
  return EXIT.ok;
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
