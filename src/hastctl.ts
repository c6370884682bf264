#!/usr/bin/env node
// hastctl(8): entry point. Hands the real world (clock, files, daemon, keys) to the commands of
// src/cli and exits with their status. What only `create`, `dump` and `recover` need is loaded
// only there.
import { readFile } from 'node:fs/promises';
import { systemClock } from './base/clock.js';
import { codeOf } from './base/errors.js';
import { nodeFiles } from './base/node-files.js';
import { systemRandom } from './base/random.js';
import { runHastctl } from './cli/program.js';
import type {
  DirectCreate,
  OfflineRecovery,
  RestoreRequest,
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
import type { PointChunk } from './restore/point-reader.js';
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

async function restoreTo(
  chunks: AsyncIterable<PointChunk>,
  { path, sizeBytes, delta, ...options }: RestoreRequest,
): Promise<RestoreCounts> {
  const [{ restoreChunks }, { openDestination }] = await Promise.all([
    import('./restore/chunks-to-disk.js'),
    import('./restore/destination.js'),
  ]);
  const { device, target, close } = await openDestination(path, sizeBytes, delta);
  try {
    return await restoreChunks(chunks, sizeBytes, device, { ...options, target });
  } finally {
    await close();
  }
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
    restoreTo,
    createSecret: (path) => createSecretFile(path, systemRandom),
    checkSecret: async (path) => void (await readSecret(path)),
    probeStore: probe,
    alive,
  },
);
