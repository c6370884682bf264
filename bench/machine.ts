// The circumstances of a measurement: machine, kernel, programs and their versions, load. Printed
// before the figures and kept with them: a figure without these says nothing.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { arch, cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { loadNow } from './meters.js';

export interface Machine {
  readonly time: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly hast: string;
  /** Type of the file system that the images are on. */
  readonly fileSystem: string;
  readonly load: number;
  readonly seed: number;
  readonly peers: Readonly<Record<string, string>>;
}

/** `peers`: programs that are compared with; all must be on the path. */
export function machineFacts(folder: string, seed: number, peers: readonly string[]): Machine {
  const [first] = cpus();
  return {
    time: new Date().toISOString(),
    cpu: `${first?.model.trim() ?? 'unknown'} (${arch()})`,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    hast: hastVersion(),
    fileSystem: firstLine('stat', ['-f', '-c', '%T', folder]),
    load: loadNow(),
    seed,
    peers: Object.fromEntries(peers.map((name) => [name, firstLine(name, ['--version'])])),
  };
}

export function printMachine(machine: Machine): void {
  const { cpu, cores, memoryGiB, kernel, node, hast, fileSystem, load, seed } = machine;
  console.log(`machine   ${cores} cores, ${cpu}, ${memoryGiB} GiB, load ${load}`);
  console.log(`software  Linux ${kernel}, Node ${node}, hast ${hast}, images on ${fileSystem}`);
  for (const version of Object.values(machine.peers)) console.log(`peer      ${version}`);
  console.log(`HAST_SEED=${seed}`);
}

/** Writes a result beside the machine's facts as JSON and says where. */
export function keepResult(name: string, machine: Machine, result: object): void {
  const path = join(tmpdir(), `hast-bench-${name}-${machine.time.replaceAll(/[:.]/g, '')}.json`);
  const whole = { bench: name, machine, loadAfter: loadNow(), ...result };
  writeFileSync(path, `${JSON.stringify(whole, null, 2)}\n`);
  console.log(`\nall figures: ${path}`);
}

/** What a program says first about itself. */
function firstLine(program: string, args: readonly string[]): string {
  const { stdout, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error) throw new Error(`${program} is not on the path: this benchmark compares with it`);
  return stdout.split('\n')[0]?.trim() ?? '';
}

function hastVersion(): string {
  const path = join(import.meta.dirname, '../../package.json');
  return String(JSON.parse(readFileSync(path, 'utf8')).version);
}
