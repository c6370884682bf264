// `hastctl prune`: removes from the archives of a primary what their rules keep no more, or with
// --dry-run says what would go and which rule keeps the rest.
import type { Command } from 'commander';
import { humanBytes } from '../base/units.js';
import type { PruneAnswer } from '../control/api.js';
import { EXIT } from '../control/exit-status.js';
import type { Run, Session } from './session.js';
import { columns, shortTime } from './text.js';

export function addPruneCommand(program: Command, run: Run): void {
  program
    .command('prune')
    .description('remove from archives what their retain keeps no more')
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
export function renderPruned(name: string, { archives }: PruneAnswer): string {
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
  const rows = kept.map(({ number, time, keptBy }) => [
    `${name}@${number}`,
    shortTime(time),
    keptBy.length === 0 ? 'goes with the next round' : keptBy.join(', '),
  ]);
  return `${lines.join('\n')}\n${columns([['Point', 'Cut', 'Kept by'], ...rows])}`;
}
