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
import { addressOf } from '../config/address.js';
import type { NodeSettings } from '../config/settings.js';
import { EXIT } from '../control/exit-status.js';
import { startControlServer } from '../control/server.js';
import { reserveSpace } from '../disk/syscalls.js';
import type { NbdAddress } from '../nbd/addresses.js';
import { Daemon } from './daemon.js';
import { DataThreads } from './data-threads.js';
import { Disks } from './disks.js';
import { Exports } from './exports.js';
import { groupId } from './group-id.js';
import { takeStateDirectory } from './state-directory.js';
import { connectThreads } from './thread-calls.js';
import type { ControlThread, RoundThread } from './thread-messages.js';
import { VERSION } from './version.js';

const TIMEOUT_SECONDS_DEFAULT = 20;

/** Runs until it is told to stop; then ends the process. Rejects when it cannot start. */
export async function runForeground(settings: NodeSettings, level: string): Promise<void> {
  process.env['HAST_LOG_LEVEL'] = level;
  const log = pinoLog(level).child({ node: settings.node });
  const release = takeStateDirectory(settings.statedir);
  const stopped = deferred<string>();
  const fatal = (why: string, error: unknown): never => {
    log.error(why, { error: describeError(error) });
    process.exit(EXIT.software);
  };
  const disks = new Disks();
  const exports = new Exports(log);
  const dataThreads = new DataThreads({
    log,
    fatal,
    trouble: (name, what, text) => daemon.trouble(name, what, text),
  });
  const rounds = startRoundThread(fatal, {
    openReplicaDisk: (name, sizeBytes) => daemon.openReplicaDisk(name, sizeBytes),
  });
  const daemon: Daemon = new Daemon({
    settings,
    version: VERSION,
    files: nodeFiles(reserveSpace),
    clock: systemClock,
    log,
    disks,
    dataThreads,
    exports,
    rounds,
    stop: () => stopped.resolve('hastctl stop'),
  });
  const { node, statedir, listen, resources } = settings;
  await rounds.call('start', { node, statedir, listen, resources, logLevel: level });
  await exports.listen(settings.exports.map((address) => nbdAddress(settings, address)));
  const server = await startControlServer(
    { path: settings.control },
    { api: daemon, config: () => settings, log, clock: systemClock, onBug: (e) => fatal('bug', e) },
  );
  writePidfile(settings.pidfile, log);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => stopped.resolve(signal));
  }
  process.on('SIGHUP', () => log.warn('a changed configuration needs a restart in this version'));
  log.info('hastd is running', { version: VERSION, pid: process.pid, resources: resources.length });
  const why = await stopped.promise;
  log.info('hastd stops', { why });
  const seconds = Math.max(
    TIMEOUT_SECONDS_DEFAULT,
    ...resources.map((resource) => resource.timeoutSeconds),
  );
  const ending = async (): Promise<void> => {
    await exports.close();
    await daemon.shutDown();
    await dataThreads.stop();
    await server.close();
  };
  const ended = await within(systemClock, seconds * 1000, ending()).finally(() => {
    rmSync(settings.pidfile, { force: true });
    release();
  });
  if (ended === 'timeout') log.error('not everything ended in time; the next start compares');
  else log.info('hastd has stopped');
  process.exit(ended === 'timeout' ? EXIT.software : 0);
}

function startRoundThread(
  fatal: (why: string, error: unknown) => never,
  mine: ControlThread,
): ReturnType<typeof connectThreads<ControlThread, RoundThread>> {
  const worker = new Worker(new URL('./round-thread.js', import.meta.url));
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
