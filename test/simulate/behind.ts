// What happens behind the back of a replica's daemon while it runs, and nothing of its own does: a
// bit of its disk changes (H28). At the end a comparison of the disks must find what is left of
// that, and nothing else; then an administrator puts it back.
import type { Random } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import type { Replica } from '../../src/receive/replica.js';
import { Broken } from './broken.js';
import type { Daemon } from './daemon.js';
import { DISK, type Machine } from './machine.js';
import type { Run } from './run.js';

/** A bit of the disk of a replica that is at rest; else nothing. What changes under a round that
 * was verified, or under an apply, nobody can see in time. */
export function drift(run: Run, random: Random): void {
  const resting = run.machines.flatMap((machine) => {
    const replica = run.daemonOf(machine)?.secondary?.parts.replica;
    return replica !== undefined && atRest(replica) ? { machine, replica } : [];
  });
  const chosen = resting[random.below(resting.length || 1)];
  const point = chosen?.replica.record.point ?? null;
  if (chosen === undefined || point === null) return;
  const { machine, replica } = chosen;
  const { sizeBytes } = replica.parts.resourceFile.state;
  // Half of what guests write goes to the first chunk.
  const within = random.below(2) === 0 ? Math.min(CHUNK_BYTES, sizeBytes) : sizeBytes;
  const offset = random.below(within);
  run.counts.faults += 1;
  run.rotten = true;
  run.truth.drifts.add(machine.name, offset, run.truth.cut(point.id, 'a disk drifts from it'));
  machine.world.flip(DISK, offset);
  run.say(`${machine.name} DRIFT at ${offset}`);
}

const atRest = ({ isOpen, record, work, doubts, staging }: Replica): boolean =>
  isOpen &&
  record.point !== null &&
  record.suspect === null &&
  doubts === null &&
  work === 'idle' &&
  staging.incoming === null;

/** Nothing is dirty, and every target is at rest. */
export async function mendDrift(run: Run, primary: Daemon): Promise<void> {
  const found = run.machines.map((machine) => ({ machine, places: placesOf(run, machine) }));
  if (found.every(({ places }) => places.length === 0)) return;
  const { signal } = new AbortController();
  const { results } = await primary.replication.verify('vm1', true, signal);
  for (const { machine, places } of found) {
    const chunks = new Set(places.map((offset) => Math.floor(offset / CHUNK_BYTES)));
    const said = results.find(({ target }) => target === machine.name);
    if (chunks.size > 0 && said?.differing !== chunks.size) {
      const wanted = [...chunks].join(', ');
      throw new Broken(`H28: ${machine.name}: chunks ${wanted} differ, found: ${said?.text}`);
    }
    for (const offset of places) machine.world.flip(DISK, offset);
  }
}

function placesOf(run: Run, machine: Machine): number[] {
  const point = run.daemonOf(machine)?.secondary?.parts.replica.record.point ?? null;
  if (point === null) return [];
  const cut = run.truth.cut(point.id, `${machine.name} stands at it`);
  return run.truth.drifts.places(machine.name, machine.diskBytes ?? new Uint8Array(0), cut);
}
