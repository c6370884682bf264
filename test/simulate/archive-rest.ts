// The end of a run that has an archive, when nothing fails any more: it is at the newest point, an
// idle firing asks it nothing, a round takes the few requests that it should, and after a prune no
// pack is left that nobody needs. Times are milliseconds of the run.
import { present } from '../../src/base/assert.js';
import { journalled, lastTrue, orphans } from './archive-judge.js';
import type { ArchiveLooks } from './archive-looks.js';
import { Broken } from './broken.js';
import type { Daemon } from './daemon.js';
import { targetOf } from './outsiders.js';
import type { Run } from './run.js';
import { OFFSITE } from './setup.js';
import { same } from './truth.js';

/** A prune that runs beside has ended. */
const STILL_MS = 60_000;
/** Of a round, beside its packs: head, point, and of a new reign its place and its epoch. */
const PUTS_MAX = 4;

export async function archiveAtRest(run: Run, daemon: Daemon): Promise<void> {
  const { archive } = run;
  const { primary, machine } = daemon;
  if (archive === null || primary === null) return;
  await run.loop.later(STILL_MS, null);
  await archive.judge('at the end', 'all');
  const last = present(await lastTrue(run.truth, await archive.opened(), 'at the end'), 'a point');
  const { sizeBytes } = primary.parts.resourceFile.state;
  const disk = (machine.diskBytes ?? new Uint8Array(0)).subarray(0, sizeBytes);
  if (last.damagedChunks === 0) {
    same(run.truth.cut(last.to.id, 'at the end').image, disk, 'D1: the archive at the end');
  }
  await idle(run, archive, daemon);
  await oneRound(run, archive, daemon);
  await pruned(run, archive, daemon);
}

const askedOf = ({ bucket }: ArchiveLooks): number =>
  Object.values(bucket.asked).reduce((sum, count) => sum + count, 0);

async function idle(run: Run, archive: ArchiveLooks, { primary, machine }: Daemon) {
  const before = askedOf(archive);
  await primary?.driver(OFFSITE)?.fire(machine.wallMs);
  await run.loop.later(STILL_MS, null);
  const more = askedOf(archive) - before;
  if (more > 0) throw new Broken(`R1: an idle firing made ${more} requests`);
}

async function oneRound(run: Run, archive: ArchiveLooks, { guests, primary, machine }: Daemon) {
  if (guests === null || machine.view === null || primary === null) return;
  await run.guests.some(guests, machine.view, 4, run.random, []);
  const before = { ...archive.bucket.asked, packs: archive.bucket.askedPacks };
  const [outcome] = await primary.sync(OFFSITE, { wait: 'commit' });
  if (outcome?.outcome !== 'committed' && outcome?.outcome !== 'nothing') {
    throw new Broken(`D1: the last round of the archive: ${outcome?.outcome}: ${outcome?.text}`);
  }
  const { askedPacks } = archive.bucket;
  const { put, list } = archive.bucket.asked;
  const puts = put - before.put - (askedPacks - before.packs);
  if (puts > PUTS_MAX) throw new Broken(`R2: a round made ${puts} puts beside its packs`);
  if (list > before.list) throw new Broken('R2: a round has listed the archive');
}

async function pruned(run: Run, archive: ArchiveLooks, daemon: Daemon): Promise<void> {
  await run.loop.later(STILL_MS, null);
  const target = present(targetOf(daemon), 'it is linked');
  await target.prune(false);
  await archive.judge('after the last prune', 'all');
  const opened = present(await archive.opened(), 'there is one');
  const last = present(await opened.last(), 'it has a point');
  const known = new Set(archive.bucket.late);
  for (const machine of run.machines) {
    if (machine === daemon.machine) continue;
    for (const key of await journalled(machine)) known.add(key);
  }
  const left = (await orphans(opened, last, daemon.machine.wallMs)).filter(
    (key) => !known.has(key),
  );
  run.say(`${left.length} packs are left that nobody needs`);
  // Who has lost its state has lost the journal with it.
  if (left.length > 0 && !run.lostState) {
    throw new Broken(`R3: ${left.length} packs are left that nobody needs: ${left.join(', ')}`);
  }
}
