// `hastctl prune`: removes from the archives of a primary, or from what a secondary retains, what
// their rules keep no more, or with --dry-run says what would go and which rule keeps the rest.
import type { Command } from 'commander';
import { humanBytes } from '../base/units.js';
import { EXIT } from '../control/exit-status.js';
import type { PruneAnswer, PrunedReplica } from '../control/retention-api.js';
import type { Run, Session } from './session.js';
import { columns, shortTime } from './text.js';

export function addPruneCommand(program: Command, run: Run): void {
  program
    .command('prune')
    .description('remove the points that retain keeps no more')
    .argument('<name>', 'resource')
    .argument('[archive]', 'only this one')
    .option('--dry-run', 'only say what would go, and what keeps the rest')
    .action((name: string, archive: string | undefined, options: { dryRun?: boolean }) =>
      run((session) => prune(session, name, archive ?? null, options.dryRun ?? false)),
    );
}

async function prune(
  session: Session,
  name: string,
  target: string | null,
  dryRun: boolean,
): Promise<number> {
  const answer = await (await session.client()).prune(name, { target, dryRun });
  session.print(answer, renderPruned(name, answer));
  return EXIT.ok;
}

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** Pure. */
export function renderPruned(name: string, { archives, replica }: PruneAnswer): string {
  if (replica !== null) return renderReplica(name, replica);
  return archives.map((archive) => renderOne(name, archive)).join('\n');
}

function renderOne(name: string, archive: PruneAnswer['archives'][number]): string {
  const { target, dryRun, removed, pinned, kept, packs, packBytes } = archive;
  const did = dryRun ? 'would remove' : 'removed';
  const lines = [
    `${name} ${target}: ${did} ${plural(removed.length, 'point')} and ` +
      `${plural(packs, 'pack')}, ${humanBytes(packBytes)}`,
  ];
  if (archive.heldPacks > 0) {
    const held = `${plural(archive.heldPacks, 'pack')}, ${humanBytes(archive.heldBytes)}`;
    lines.push(`  ${held} that nobody needs stay until their class's minimum of days is over`);
  }
  for (const point of removed) lines.push(`  ${name}@${point.number} ${shortTime(point.time)}`);
  for (const point of pinned) lines.push(`  ${name}@${point.number} stays: it is pinned`);
  if (!dryRun || kept.length === 0) return `${lines.join('\n')}\n`;
  return `${lines.join('\n')}\n${keptTable(name, kept, 'goes with the next round')}`;
}

function renderReplica(name: string, { dryRun, removed, kept }: PrunedReplica): string {
  const did = dryRun ? 'would drop' : 'dropped';
  const lines = [`${name}: ${did} ${plural(removed.length, 'point')}`];
  for (const point of removed) lines.push(`  ${name}@${point.number} ${shortTime(point.time)}`);
  const isStuck = kept.some(({ keptBy }) => keptBy.length === 0);
  if (!dryRun && !isStuck) return `${lines.join('\n')}\n`;
  return `${lines.join('\n')}\n${keptTable(name, kept, 'could not be dropped; see the log')}`;
}

function keptTable(name: string, kept: PrunedReplica['kept'], byNothing: string): string {
  const rows = kept.map(({ number, time, keptBy }) => [
    `${name}@${number}`,
    shortTime(time),
    keptBy.length === 0 ? byNothing : keptBy.join(', '),
  ]);
  return columns([['Point', 'Cut', 'Kept by'], ...rows]);
}
