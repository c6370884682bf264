// Runs hastctl as a child process with a configuration in a folder of its own, and with a fake
// daemon on a real socket where the test wants one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fakeApi, serveFake } from '../control/fake-api.js';
import { scratch } from '../real.js';

export const HASTCTL = join(import.meta.dirname, '../../src/hastctl.js');

/** What a run of hastctl left. */
export interface Result {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the built program as a child process; `env` is all its environment but PATH. */
export async function hastctl(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Result> {
  const child = spawn(process.execPath, [HASTCTL, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text.out += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text.err += piece;
  });
  const [status] = await once(child, 'close');
  return { status: Number(status), ...text };
}

/** A configuration for nodes a and b in a folder of its own. */
export function configured(t: TestContext) {
  const folder = scratch(t);
  const file = join(folder, 'hast.conf');
  const node = (name: string, port: number): string =>
    `on ${name} { statedir ${folder}/${name} control unix://${folder}/${name}.ctl ` +
    `export unix://${folder}/${name}.nbd listen tcp://127.0.0.1:${port} ` +
    `pidfile ${folder}/${name}.pid }\n`;
  writeFileSync(
    file,
    `${node('a', 18_457)}${node('b', 18_458)}resource vm1 {
      replication periodic
      interval 1h
      on a { local ${folder}/a.img remote tcp://127.0.0.1:18458 }
      on b { local ${folder}/b.img remote tcp://127.0.0.1:18457 }
    }\n`,
  );
  return { folder, file, control: join(folder, 'a.ctl'), before: ['-c', file, '--node', 'a'] };
}

/** The same, with a fake daemon behind node a. */
export async function served(t: TestContext) {
  const made = configured(t);
  const api = fakeApi();
  const server = await serveFake(made.control, api);
  t.after(() => server.close());
  return { ...made, api };
}

/** The JSON document on standard output. */
export const parsed = (result: Result): Record<string, unknown> => JSON.parse(result.out);
