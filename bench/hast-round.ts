// A round of hast as the benchmarks measure it: asked for with hastctl, as an operator does; bytes
// at the counting proxy; CPU and reads of both daemons from /proc, to committed and then to
// applied.
import { setTimeout as sleep } from 'node:timers/promises';
import { usageOf, usageOfOurChildren, usedSince } from './meters.js';
import type { CarriedRound } from './round-report.js';
import type { TwoNodes } from './two-nodes.js';

/** Each look costs the daemon half a millisecond, which is counted. */
const POLL_MS = 50;

/** A round as an operator asks for it, measured to committed and then to applied. */
export async function hastRound(nodes: TwoNodes): Promise<CarriedRound> {
  const { a, b, proxy } = nodes;
  const wire = proxy.bytes;
  const before = { command: usageOfOurChildren(), a: usageOf(a.pid), b: usageOf(b.pid) };
  const { seconds } = await a.hastctl('sync', 'vm1', '--wait=commit');
  const command = usedSince(before.command, usageOfOurChildren());
  const near = usedSince(before.a, usageOf(a.pid));
  const committed = { a: usageOf(a.pid), b: usageOf(b.pid) };
  const far = usedSince(before.b, committed.b);
  const now = proxy.bytes;
  const began = performance.now();
  while ((await b.control.status(['vm1'])).resources[0]?.targets[0]?.work !== 'idle') {
    await sleep(POLL_MS);
  }
  const apply = usedSince(committed.b, usageOf(b.pid));
  const tail = usedSince(committed.a, usageOf(a.pid));
  const last = (await a.control.rounds('vm1')).rounds.at(-1);
  if (last?.outcome !== 'committed') throw new Error(`the round has not committed: ${last?.error}`);
  const { dirtyBytes, readBytes, sentBytes, wireUpBytes, wireDownBytes } = last;
  return {
    seconds,
    upBytes: now.up - wire.up,
    downBytes: now.down - wire.down,
    cpuSeconds: { near: near.cpuSeconds + command.cpuSeconds, far: far.cpuSeconds },
    readBytes: { near: near.readBytes, far: far.readBytes },
    storageBytes: { near: near.storageBytes, far: far.storageBytes },
    reported: {
      seconds: last.seconds,
      dirtyBytes,
      readBytes,
      sentBytes,
      wireUpBytes,
      wireDownBytes,
    },
    applied: {
      ...apply,
      seconds: (performance.now() - began) / 1000,
      nearCpuSeconds: tail.cpuSeconds,
    },
  };
}
