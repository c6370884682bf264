// The running daemon: takes the state directory for itself, starts the threads and the sockets,
// and on SIGTERM or SIGINT ends everything in good order within the configured timeout: requests in
// flight, flush, maps, clean mark, exit status 0 (hastd(8)).
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { systemClock, within } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import { type Log, pinoLog } from '../base/log.js';
import { nodeFiles } from '../base/node-files.js';
import { deferred } from '../base/sync.js';
import { VERSION } from '../base/version.js';
import { addressOf } from '../config/address.js';
import type { NodeSettings } from '../config/settings.js';
import { EXIT } from '../control/exit-status.js';
import { type ControlServer, startControlServer } from '../control/server.js';
import { exitNow, reserveSpace } from '../disk/syscalls.js';
import type { NbdAddress } from '../nbd/addresses.js';
import { Daemon } from './daemon.js';
import { DataThreads } from './data-threads.js';
import { Disks } from './disks.js';
import { Exports } from './exports.js';
import { groupId } from './group-id.js';
import { checkMedium, takeStateDirectory } from './state-directory.js';
import { connectThreads, type Peer } from './thread-calls.js';
import type { ControlThread, RoundThread } from './thread-messages.js';

const TIMEOUT_SECONDS_DEFAULT = 20;
/** Of the round thread's heap: 48 by default, of which a round leaves nothing alive. */
const ROUND_YOUNG_MIB = 2;

export interface ForegroundOptions {
  readonly settings: NodeSettings;
  /** Of the log. */
  readonly level: string;
  /** The configuration as the file has it now. Errors CONFIG_UNREADABLE, CONFIG_INVALID. */
  readonly reread: () => NodeSettings;
}

interface Assembled {
  readonly daemon: Daemon;
  readonly rounds: Peer<RoundThread>;
  readonly exports: Exports;
  readonly dataThreads: DataThreads;
  readonly log: Log;
  /** Ends the process: something is wrong that nobody can go on with. */
  readonly fatal: (why: string, error: unknown) => never;
  /** Why hastd is to stop. */
  readonly stopped: Promise<string>;
}

/** Runs until it is told to stop; then ends the process. Rejects when it cannot start. */
export async function runForeground(options: ForegroundOptions): Promise<void> {
  const { settings, level } = options;
  process.env['HAST_LOG_LEVEL'] = level;
  const log = pinoLog(level).child({ node: settings.node });
  const release = takeStateDirectory(settings.statedir);
  checkMedium(settings, log);
  const assembled = assemble(options, log);
  const { daemon, rounds, exports, stopped } = assembled;
  const { node, statedir, listen, resources } = settings;
  await rounds.call('start', { node, statedir, listen, resources, logLevel: level });
  await exports.listen(settings.exports.map((address) => nbdAddress(settings, address)));
  await daemon.takeUpRoles();
  const server = await openControl(settings, assembled);
  writePidfile(settings.pidfile, log);
  log.info('hastd is running', { version: VERSION, pid: process.pid, resources: resources.length });
  log.info('hastd stops', { why: await stopped });
  const ended = await endInOrder(assembled, server).finally(() => {
    rmSync(settings.pidfile, { force: true });
    release();
  });
  if (ended !== 'timeout') {
    log.info('hastd has stopped');
    process.exit(0);
  }
  log.error('not everything ended in time; the next start compares');
  // Not process.exit: it waits for the pool, and a thread of it may hang in the disk (H19).
  exitNow(EXIT.software);
}

/** The threads, and control; signals are listened to from now on. */
function assemble({ settings, reread }: ForegroundOptions, log: Log): Assembled {
  const stopped = deferred<string>();
  const fatal = (why: string, error: unknown): never => {
    log.error(why, { error: describeError(error) });
    process.exit(EXIT.software);
  };
  const exports = new Exports(log);
  const dataThreads = new DataThreads({
    clock: systemClock,
    log,
    fatal,
    trouble: (name, what, text) => daemon.trouble(name, what, text),
    repair: (name, chunk, mask) => rounds.call('repair', name, chunk, mask),
  });
  const rounds = startRoundThread(fatal, {
    openReplicaDisk: (...args) => daemon.openReplicaDisk(...args),
    pointGuestGone: (connection) => daemon.pointGuestGone(connection),
  });
  const daemon: Daemon = new Daemon({
    settings,
    version: VERSION,
    files: nodeFiles(reserveSpace),
    clock: systemClock,
    log,
    disks: new Disks(),
    dataThreads,
    exports,
    rounds,
    reread,
    stop: () => stopped.resolve('hastctl stop'),
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => stopped.resolve(signal));
  }
  process.on('SIGHUP', () => {
    daemon.reload().catch((error: unknown) => {
      log.error('the configuration stays as it was', { why: describeError(error) });
    });
  });
  return { daemon, rounds, exports, dataThreads, log, fatal, stopped: stopped.promise };
}

/** Roles were taken up before: a socket that cannot be made must not cost their clean marks. */
async function openControl(
  settings: NodeSettings,
  { daemon, log, fatal }: Assembled,
): Promise<ControlServer> {
  const onBug = (error: unknown): void => fatal('bug', error);
  const config = () => daemon.settings;
  try {
    return await startControlServer(
      { path: settings.control },
      { api: daemon, config, log, clock: systemClock, onBug },
    );
  } catch (error) {
    await daemon.shutDown();
    throw error;
  }
}

/** 'timeout': not all of it has ended. */
async function endInOrder(
  { daemon, exports, dataThreads }: Assembled,
  server: ControlServer,
): Promise<'ended' | 'timeout'> {
  const seconds = Math.max(
    TIMEOUT_SECONDS_DEFAULT,
    ...daemon.settings.resources.map((resource) => resource.timeoutSeconds),
  );
  const ending = async (): Promise<void> => {
    await exports.close();
    await daemon.shutDown();
    await dataThreads.stop();
    await server.close();
  };
  const ended = await within(systemClock, seconds * 1000, ending());
  return ended === 'timeout' ? 'timeout' : 'ended';
}

function startRoundThread(
  fatal: (why: string, error: unknown) => never,
  mine: ControlThread,
): Peer<RoundThread> {
  const worker = new Worker(new URL('./round-thread.js', import.meta.url), {
    resourceLimits: { maxYoungGenerationSizeMb: ROUND_YOUNG_MIB },
  });
  worker.on('error', (error) => fatal('the round thread has died', error));
  worker.on('exit', (status) => fatal('the round thread has ended', status));
  return connectThreads<ControlThread, RoundThread>(worker, mine, (error) => fatal('bug', error));
}

function nbdAddress(settings: NodeSettings, text: string): NbdAddress {
  const address = addressOf(text);
  if (address.kind === 'tcp') return { kind: 'tcp', host: address.host, port: address.port };
  const { exportGroup } = settings;
  mkdirSync(address.path.slice(0, address.path.lastIndexOf('/')) || '/', { recursive: true });
  if (exportGroup === null) return { kind: 'unix', path: address.path };
  return { kind: 'unix', path: address.path, gid: groupId(exportGroup) };
}

/** Trouble with the pid file is a warning, as in HAST. */
function writePidfile(path: string, log: Log): void {
  try {
    mkdirSync(path.slice(0, path.lastIndexOf('/')) || '/', { recursive: true });
    writeFileSync(path, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    log.warn('the pid file cannot be written', { path, why: describeError(error) });
  }
}
