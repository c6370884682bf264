// What a guest notices of rounds: random writes with 16 in flight, first with none, then while one
// round after another carries what was written (every cut freezes nearly all of it, so most writes
// meet a frozen chunk and wait until its old content is kept). Then what the daemon counted: how
// long gates were held, how long writes waited for a preserve. Microseconds.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Latency, type Measured, measure } from './nbd-fio.js';
import type { NbdServer } from './nbd-servers.js';
import { syncFiles } from './residency.js';
import { printTable } from './round-report.js';
import type { BenchNode } from './two-nodes.js';

export interface UnderRounds {
  readonly seconds: number;
  readonly rounds: number;
  readonly failed: number;
  readonly without: Measured;
  readonly during: Measured;
  /** Counters of the resource whose names speak of gates or preserves; since its start. */
  readonly counters: Readonly<Record<string, number>>;
}

const SECONDS = 10;
const PAUSE_MS = 50;

export async function underRounds(
  server: NbdServer,
  node: BenchNode,
  { seed }: { readonly seed: number },
): Promise<UnderRounds> {
  const work = {
    ...({ name: '4k write QD16', pattern: 'randwrite', blockBytes: 4096, depth: 16 } as const),
    ...{ connections: 1, flush: false, cold: false },
  };
  await syncFiles([server.image]);
  const without = await measure(server, work, SECONDS, seed);
  await syncFiles([server.image]);
  let [over, rounds, failed] = [false, 0, 0];
  const signal = new AbortController().signal;
  const oneAfterAnother = async (): Promise<void> => {
    while (!over) {
      const { outcomes } = await node.control.sync('vm1', { wait: 'commit' }, signal);
      for (const { outcome } of outcomes) {
        if (outcome === 'committed') rounds += 1;
        else if (outcome === 'failed') failed += 1;
      }
      await sleep(PAUSE_MS);
    }
  };
  const carrying = oneAfterAnother();
  const during = await measure(server, work, SECONDS, seed + 1);
  over = true;
  await carrying;
  const counted: object = (await node.control.status(['vm1'])).resources[0]?.counters ?? {};
  const counters: Record<string, number> = Object.fromEntries(
    Object.entries(counted).filter(([name]) => /gate|preserve/i.test(name)),
  );
  return { seconds: SECONDS, rounds, failed, without, during, counters };
}

export function printUnderRounds(result: UnderRounds): void {
  const { rounds, failed, seconds, without, during, counters } = result;
  console.log(
    `\n4k write QD16 while rounds run: ${rounds} rounds in ${seconds} s, ${failed} failed`,
  );
  const row = (name: string, one: Measured): readonly string[] => [
    name,
    one.rate.toFixed(0),
    ...latencies(one),
    one.serverMicrosPerOperation.toFixed(1),
  ];
  printTable([
    ['', 'op/s', 'p50 us', 'p99 us', 'p99.9 us', 'CPU us/op'],
    row('no round', without),
    row('rounds', during),
  ]);
  const words = Object.entries(counters).map(([name, value]) => `${name} ${value}`);
  console.log(`  ${words.join(', ')}`);
}

const latencies = ({ p50Micros, p99Micros, p999Micros }: Latency): readonly string[] =>
  [p50Micros, p99Micros, p999Micros].map((micros) => micros.toFixed(0));
