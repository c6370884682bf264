// The quick start of the HAST slides, word for word and in their order: two nodes, resource `data`,
// hastd in the background as an operator starts it. nbdcopy stands for newfs, qemu-io for what is
// written to the mounted file system, a file for /dev/ada0, a port of loopback for each address.
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { needTool, scratch } from '../real.js';
import { assertSameImages, MIB, makeImage, qemuIo, succeed } from './images.js';
import { type Finished, finish, freePort } from './nodes.js';

const PROGRAMS = join(import.meta.dirname, '../../src');
const DISK_BYTES = 48 * MIB;

type Host = 'hosta' | 'hostb';

/** A console on each of the two hosts: hastctl and hastd with the options of the one machine. */
function consoles(t: TestContext, config: string, folder: string) {
  const run = (host: Host, program: string, args: string[]): Promise<Finished> =>
    finish(process.execPath, [join(PROGRAMS, program), '-c', config, '--node', host, ...args]);
  const pidOf = (host: Host): number => Number(readFileSync(join(folder, `${host}.pid`), 'utf8'));
  t.after(() => {
    for (const host of ['hosta', 'hostb'] as const) {
      try {
        process.kill(pidOf(host), 'SIGKILL');
      } catch {
        // It has stopped, as it should have.
      }
    }
  });
  const told = async (host: Host, program: string, line: string): Promise<Finished> => {
    const finished = await run(host, program, line.split(' ').filter(Boolean));
    const { status, stdout, stderr } = finished;
    assert.equal(status, 0, `${host}# ${program} ${line}: ${status}\n${stdout}${stderr}`);
    return finished;
  };
  return {
    pidOf,
    hastctl: (host: Host, line: string) => told(host, 'hastctl.js', line),
    hastd: (host: Host) => told(host, 'hastd.cjs', ''),
  };
}

async function slides(folder: string): Promise<string> {
  const [portA, portB] = [await freePort(), await freePort()];
  const node = (host: Host, port: number): string =>
    `on ${host} { statedir ${folder}/${host}  control unix://${folder}/${host}.ctl\n` +
    `  export unix://${folder}/${host}.nbd  listen tcp://127.0.0.1:${port}\n` +
    `  pidfile ${folder}/${host}.pid }\n`;
  const path = join(folder, 'hast.conf');
  writeFileSync(
    path,
    `${node('hosta', portA)}${node('hostb', portB)}resource data {\n` +
      `  on hosta { local ${folder}/ada0.a  remote 127.0.0.1:${portB} }\n` +
      `  on hostb { local ${folder}/ada0.b  remote 127.0.0.1:${portA} }\n}\n`,
  );
  return path;
}

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test('the quick start of the HAST slides', async (t) => {
  if (!needTool(t, 'nbdcopy', 'qemu-io')) return;
  const folder = scratch(t);
  const { hastctl, hastd, pidOf } = consoles(t, await slides(folder), folder);
  makeImage(join(folder, 'ada0.a'), DISK_BYTES, 0);
  makeImage(join(folder, 'ada0.b'), DISK_BYTES, MIB, 99);

  await hastctl('hostb', 'create data');
  const started = await hastd('hostb');
  assert.equal(started.stdout + started.stderr, '', 'it says nothing when all is well');
  await hastctl('hostb', 'role secondary data');
  await hastd('hosta');
  await hastctl('hosta', 'create data');
  await hastctl('hosta', 'role primary data');

  const disk = `nbd+unix:///data?socket=${folder}/hosta.nbd`;
  assert.match((await hastctl('hosta', 'list data')).stdout, /nbd\+unix:\/\/\/data\?socket=/);
  makeImage(join(folder, 'newfs'), DISK_BYTES, 20 * MIB, 2);
  await succeed('nbdcopy', '--flush', join(folder, 'newfs'), disk);
  await hastctl('hosta', 'sync data --wait');
  assertSameImages(join(folder, 'newfs'), join(folder, 'ada0.b'));
  await qemuIo(disk, 'write -P 0x5a 1M 256k', 'write -P 0xa5 47M 1M', 'flush');
  await hastctl('hosta', 'sync data --wait');
  assertSameImages(join(folder, 'ada0.a'), join(folder, 'ada0.b'));
  assert.match((await hastctl('hosta', 'status data')).stdout, /data +clean +primary/);
  assert.equal((await hastctl('hostb', 'points data --json')).json !== null, true);

  const pids = [pidOf('hosta'), pidOf('hostb')];
  assert.ok(pids.every(isRunning), 'hastd runs on after the command that started it');
  for (const host of ['hosta', 'hostb'] as const) {
    await hastctl(host, 'stop');
    assert.ok(statSync(join(folder, host, 'hastd.log')).size > 0, 'it logs to its state directory');
  }
  assert.ok(!pids.some(isRunning), '`hastctl stop` returns when hastd has ended');
});
