#!/usr/bin/env node
// hastctl(8): entry point. Hands the real world (clock, files, daemon, keys) to the commands of
// src/cli and exits with their status. What only some of them need (disks, archives) is loaded
// only there.
import { readFile } from 'node:fs/promises';
import { systemClock } from './base/clock.js';
import { codeOf } from './base/errors.js';
import type { Log } from './base/log.js';
import { nodeFiles } from './base/node-files.js';
import { systemRandom } from './base/random.js';
import { runHastctl } from './cli/program.js';
import type { ServeRequest } from './cli/serve-point.js';
import type {
  ArchiveRequest,
  DirectCreate,
  OfflineRecovery,
  Screen,
  StoreRequest,
} from './cli/session.js';
import { loadConfig } from './config/load.js';
import { nodeNames } from './config/node.js';
import type { NodeSettings } from './config/settings.js';
import { controlClient } from './control/client.js';
import { EXIT } from './control/exit-status.js';
import { machineFacts } from './control/machine-facts.js';
import { createSecretFile, readSecret } from './net/psk.js';
import type { ArchiveReader } from './restore/archive-reader.js';
import type { PointChunk } from './restore/chunk-source.js';
import type { WantedMark } from './restore/destination.js';
import type { RestoreOrder } from './restore/onto-path.js';
import type { RestoreCounts } from './restore/to-disk.js';
import { checkCron } from './schedule/firing.js';
import { longestGapSeconds } from './schedule/gap.js';

/** Under the lock of hastd, which may well run though nobody answers on this control socket. */
async function createDirect(request: DirectCreate): Promise<{ readonly notes: readonly string[] }> {
  const [{ createResource }, { reserveSpace }, { takeStateDirectory }] = await Promise.all([
    import('./care/create.js'),
    import('./disk/syscalls.js'),
    import('./daemon/state-directory.js'),
  ]);
  const release = takeStateDirectory(request.statedir);
  try {
    return await createResource(nodeFiles(reserveSpace), request);
  } finally {
    release();
  }
}

async function dump(directory: string) {
  const [{ dumpResource }, { reserveSpace }] = await Promise.all([
    import('./care/dump.js'),
    import('./disk/syscalls.js'),
  ]);
  return dumpResource(nodeFiles(reserveSpace), directory);
}

async function recover(settings: NodeSettings, name: string): Promise<OfflineRecovery> {
  const { recoverOffline } = await import('./daemon/offline.js');
  return recoverOffline(settings, name);
}

async function restoreChunks(
  chunks: AsyncIterable<PointChunk>,
  mark: WantedMark,
  order: RestoreOrder,
): Promise<RestoreCounts> {
  const [{ restoreOnto }, writer, { reserveSpace }] = await Promise.all([
    import('./restore/onto-path.js'),
    import('./restore/chunks-to-disk.js'),
    import('./disk/syscalls.js'),
  ]);
  return restoreOnto(nodeFiles(reserveSpace), mark, order, (device, options) =>
    writer.restoreChunks(chunks, mark.sizeBytes, device, options),
  );
}

async function checkSecret(path: string, of: 'secret' | 'key'): Promise<void> {
  if (of === 'secret') await readSecret(path);
  else await (await import('./archive/secret.js')).readArchiveSecret(path);
}

async function probe({ storageClass, ...options }: StoreRequest) {
  const [{ openStore }, { probeStore }] = await Promise.all([
    import('./store/open-store.js'),
    import('./store/probe.js'),
  ]);
  const store = await openStore({ ...options, below: null, pace: null }, systemClock);
  try {
    return await probeStore(store, { clock: systemClock, random: systemRandom }, storageClass);
  } finally {
    await store.close();
  }
}

async function openArchive({ keyPath, ...options }: ArchiveRequest): Promise<ArchiveReader> {
  const [reader, { openStore }, { readArchiveSecret }, { reserveSpace }] = await Promise.all([
    import('./restore/archive-reader.js'),
    import('./store/open-store.js'),
    import('./archive/secret.js'),
    import('./disk/syscalls.js'),
  ]);
  const secret = keyPath === null ? null : await readArchiveSecret(keyPath);
  const store = await openStore({ ...options, below: null, pace: null }, systemClock).catch(
    async (error: unknown) => {
      throw codeOf(error) === 'STORE_NO_BUCKET' ? await reader.missing(options.url) : error;
    },
  );
  try {
    return await reader.ArchiveReader.open(store, secret, nodeFiles(reserveSpace), systemRandom);
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function serve(request: ServeRequest, log: Log) {
  const { servePoint } = await import('./cli/serve-point.js');
  return servePoint(request, log);
}

/** Size of the terminal; a pseudo terminal that nobody has sized says 0. */
function screen(): Screen | null {
  const { isTTY, columns, rows } = process.stdout;
  return isTTY === true ? { columns: columns || 80, rows: rows || 24 } : null;
}

function interrupted(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** True while the process lives; one of another user does too. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

// `hastctl list | head` is no failure.
process.stdout.on('error', (error) => {
  process.exit(codeOf(error) === 'EPIPE' ? EXIT.ok : EXIT.io);
});

process.exitCode = await runHastctl(
  process.argv.slice(2),
  { node: process.env['HAST_NODE'] ?? null },
  {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    terminal: process.stderr.isTTY === true,
    screen,
    interrupted,
    clock: systemClock,
    readText: (path) => readFile(path, 'utf8'),
    loadConfig: (text, path, node) =>
      loadConfig(
        text,
        path,
        { names: nodeNames(node, machineFacts()) },
        checkCron,
        longestGapSeconds,
      ),
    connect: controlClient,
    createDirect,
    dump,
    recoverOffline: recover,
    restoreChunks,
    createSecret: (path) => createSecretFile(path, systemRandom),
    checkSecret,
    probeStore: probe,
    openArchive,
    servePoint: serve,
    alive,
  },
);
