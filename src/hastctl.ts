#!/usr/bin/env node
// hastctl(8): entry point. Hands the real world (clock, files, daemon, keys) to the commands of
// src/cli and exits with their status. What only `create` needs is loaded only there.
import { readFile } from 'node:fs/promises';
import { systemClock } from './base/clock.js';
import { codeOf } from './base/errors.js';
import { nodeFiles } from './base/node-files.js';
import { systemRandom } from './base/random.js';
import { runHastctl } from './cli/program.js';
import type { DirectCreate } from './cli/session.js';
import { loadConfig } from './config/load.js';
import { nodeNames } from './config/node.js';
import { controlClient } from './control/client.js';
import { EXIT } from './control/exit-status.js';
import { machineFacts } from './control/machine-facts.js';
import { createSecretFile } from './net/psk.js';
import { checkCron } from './schedule/firing.js';

async function createDirect(request: DirectCreate): Promise<{ readonly notes: readonly string[] }> {
  const [{ createResource }, { reserveSpace }] = await Promise.all([
    import('./care/create.js'),
    import('./disk/syscalls.js'),
  ]);
  return createResource(nodeFiles(reserveSpace), request);
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
    clock: systemClock,
    readText: (path) => readFile(path, 'utf8'),
    loadConfig: (text, path, node) =>
      loadConfig(text, path, { names: nodeNames(node, machineFacts()) }, checkCron),
    connect: controlClient,
    createDirect,
    createSecret: (path) => createSecretFile(path, systemRandom),
    alive,
  },
);
