// Who comes to a run's archive beside its primary: the store's own troubles, operators who pin and
// unpin points and order a prune or a repack, readers who restore. A reader gets what is right, or
// an error of the store; that something is not there only of a point that is kept no more.
import { Archive } from '../../src/archive/archive.js';
import { pin, pinAt, unpin } from '../../src/archive/pins.js';
import { codeOf, HastError } from '../../src/base/errors.js';
import type { Random } from '../../src/base/random.js';
import {
  type ArchivePoint,
  type KeptPoint,
  type PointPlace,
  pinKey,
} from '../../src/format/archive-objects.js';
import { findPoint, keptOf } from '../../src/restore/archive-source.js';
import { ArchiveTarget } from '../../src/target/archive.js';
import type { Act } from './acts.js';
import { contentOf, isItsCut } from './archive-judge.js';
import type { ArchiveLooks } from './archive-looks.js';
import { Broken } from './broken.js';
import type { Daemon } from './daemon.js';
import { Life } from './loop.js';
import type { Run } from './run.js';
import { OFFSITE } from './setup.js';

const NAMES = 3;

type Outside = Extract<Act, { readonly kind: 'store' | 'pin' | 'unpin' | 'restore' | 'prune' }>;

export async function outside(run: Run, act: Outside, random: Random): Promise<void> {
  const { archive } = run;
  if (archive === null) return;
  switch (act.kind) {
    case 'store':
      run.counts.faults += 1;
      return archive.bucket.trouble(act.what, act.ms);
    case 'prune':
      return pruneNow(run, random);
    case 'pin':
      return operator(archive, () => pinOne(run, archive, random, act.key));
    case 'unpin':
      return operator(archive, () => unpinOne(run, archive, random));
    case 'restore':
      return restore(run, archive, random);
  }
}

export function targetOf(daemon: Daemon | undefined): ArchiveTarget | null {
  const target = daemon?.primary?.driver(OFFSITE)?.parts.link.current ?? null;
  return target instanceof ArchiveTarget ? target : null;
}

async function pruneNow(run: Run, random: Random): Promise<void> {
  const serving = run.serving();
  const target = targetOf(serving[random.below(serving.length || 1)]);
  const result = await target?.prune(random.below(4) === 0);
  if (result != null) run.archive?.look('after a prune', 'all');
  // The next round does it, whatever it meets.
  const belowPercent = 90 + random.below(11);
  const plan = await target?.repack({ belowPercent, dryRun: random.below(4) === 0 });
  if (plan != null && plan.leaving.size > 0) run.counts.repacks += 1;
}

/** One after another: two who unpin and pin the same name undo each other. */
const operators = new WeakMap<ArchiveLooks, Promise<unknown>>();
function operator(archive: ArchiveLooks, work: () => Promise<void>): Promise<void> {
  const before = operators.get(archive) ?? Promise.resolve();
  const done = before.then(work, work);
  operators.set(archive, done);
  return done;
}

async function openOutside({ bucket, url }: ArchiveLooks): Promise<Archive | null> {
  return Archive.open(bucket.outside(url, new Life()), bucket.secret);
}

async function pinOne(
  run: Run,
  looks: ArchiveLooks,
  random: Random,
  key: string | undefined,
): Promise<void> {
  const { generation } = looks;
  const archive = await openOutside(looks);
  const last = (await archive?.last()) ?? null;
  if (archive === null || last === null) return;
  const kept = keptOf(last);
  // The oldest go next.
  const at = random.below(2) === 0 ? kept.length - 1 : random.below(kept.length);
  const point = kept.find(({ place }) => pinKey(place) === key) ?? kept[at];
  if (point === undefined) return;
  const name = `pin-${random.below(NAMES)}`;
  await pin(archive, name, point);
  if (looks.generation !== generation) return;
  looks.pins.set(name, point);
  run.say(`point ${point.number} is pinned as ${name}`);
}

async function unpinOne(run: Run, looks: ArchiveLooks, random: Random): Promise<void> {
  const archive = await openOutside(looks);
  if (archive === null) return;
  const name = `pin-${random.below(NAMES)}`;
  looks.pins.delete(name);
  await unpin(archive, name);
  run.say(`${name} is unpinned`);
}

async function restore(run: Run, looks: ArchiveLooks, random: Random): Promise<void> {
  const { url } = looks;
  const archive = await openOutside(looks);
  if (archive === null) return;
  const point = await chosen(looks, archive, random);
  if (point === null || looks.url !== url) return;
  const cut = run.truth.cut(point.to.id, 'a reader has found it');
  const how = random.below(2) === 0 ? 'chunks' : 'regions';
  try {
    const disk = await contentOf(archive, point, how);
    isItsCut(cut, point, disk, 'a reader:');
    run.counts.points += 1;
  } catch (error) {
    if (!(error instanceof HastError)) throw error;
    run.say(`a reader of point ${cut.number}: ${error.message}`);
    if (codeOf(error) === 'STORE_UNREACHABLE') return;
    const gone = codeOf(error) === 'STORE_MISSING' && !(await isKept(looks, url, point.place));
    if (!gone) throw new Broken(`Q1: a reader of point ${cut.number}: ${error.message}`);
  }
}

async function chosen(
  looks: ArchiveLooks,
  archive: Archive,
  random: Random,
): Promise<ArchivePoint | null> {
  const [name] = looks.pins.keys();
  const which = random.below(3);
  if (which === 0) return findPoint(archive, { kind: 'latest' }, 'latest');
  if (which === 1 && name !== undefined) return findPoint(archive, { kind: 'name', name }, name);
  const last = await archive.last();
  if (last === null) return null;
  const kept: readonly KeptPoint[] = keptOf(last);
  return archive.point(kept[random.below(kept.length)]?.place ?? last.place);
}

/** Now. */
async function isKept(looks: ArchiveLooks, url: string, place: PointPlace): Promise<boolean> {
  const archive = await Archive.open(looks.bucket.look(url), looks.bucket.secret);
  const last = (await archive?.last()) ?? null;
  if (archive === null || last === null) return false;
  const stays = keptOf(last).some(
    (kept) => kept.place.epoch === place.epoch && kept.place.sequence === place.sequence,
  );
  return stays || (await pinAt(archive, place)) !== null;
}
