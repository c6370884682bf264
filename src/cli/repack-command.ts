// `hastctl repack`: what the newest points of archives still need of packs that are mostly dead is
// sent again by a round, so that those packs go with older points; with --dry-run it only says what
// that would take.

import type { Command } from 'commander';
import { humanBytes } from '../base/units.js';
import { EXIT } from '../control/exit-status.js';
import type { PrunedPoint, RepackAnswer } from '../control/retention-api.js';
import { CliError } from './fault.js';
import type { Run, Session } from './session.js';
import { plural, pointName, shortTime } from './text.js';

interface Flags {
  readonly dryRun?: boolean;
  readonly below: string;
}

export function addRepackCommand(program: Command, run: Run): void {
  program
    .command('repack')
    .description('send again what archives need of packs that are mostly dead')
    .argument('<name>', 'resource')
    .argument('[archive]', 'only this one')
    .option('--dry-run', 'only say what would be sent, and what goes for it')
    .option('--below <share>', 'packs of which kept points need less than this', '50%')
    .action((name: string, archive: string | undefined, flags: Flags) =>
      run((session) => repack(session, name, archive ?? null, flags)),
    );
}

async function repack(
  session: Session,
  name: string,
  target: string | null,
  { dryRun = false, below }: Flags,
): Promise<number> {
  const belowPercent = percentOf(below);
  const client = await session.client();
  const answer = await client.repack(name, { target, belowPercent, dryRun });
  session.print(answer, renderRepacked(name, answer));
  return EXIT.ok;
}

function percentOf(text: string): number {
  const percent = /^\d{1,3}%?$/.test(text) ? Number.parseInt(text, 10) : Number.NaN;
  if (percent >= 1 && percent <= 100) return percent;
  const why = 'it is a whole share from 1% to 100%';
  throw new CliError({ code: 'CLI_BAD_VALUE', option: '--below', value: text, text: why });
}

/** Pure. */
export function renderRepacked(name: string, { archives }: RepackAnswer): string {
  return archives.map((archive) => renderOne(name, archive)).join('');
}

function renderOne(name: string, archive: RepackAnswer['archives'][number]): string {
  const { target, dryRun, packs, packBytes, neededBytes, heldPacks, heldBytes } = archive;
  const lines: string[] = [];
  if (packs === 0) lines.push(`${name} ${target}: no pack is dead enough, nothing to do`);
  else {
    const [would, sends] = dryRun ? ['would leave', 'would send'] : ['leaves', 'sends'];
    lines.push(
      `${name} ${target}: ${would} ${plural(packs, 'pack')}, ${humanBytes(packBytes)}, ` +
        `of which kept points need about ${humanBytes(neededBytes)}`,
      `  a round ${sends} about ${humanBytes(archive.sendBytes)} of the disk, before ` +
        `compression, with about ${plural(archive.puts, 'PUT request')}`,
      `  they go with the last of ${holders(name, archive.holders)}`,
    );
  }
  if (heldPacks > 0) {
    const held = `${plural(heldPacks, 'pack')}, ${humanBytes(heldBytes)}`;
    lines.push(`  left out: ${held} that are paid for until their class's minimum of days is over`);
  }
  return `${lines.join('\n')}\n`;
}

function holders(name: string, points: readonly PrunedPoint[]): string {
  const [newest, oldest] = [points[0], points.at(-1)];
  const said = (point: PrunedPoint): string => `${pointName(name, point)} ${shortTime(point.time)}`;
  const ends = [oldest, newest].flatMap((point) => (point === undefined ? [] : [said(point)]));
  const what = `${plural(points.length, 'point')} that ${points.length === 1 ? 'needs' : 'need'}`;
  return `${what} them: ${[...new Set(ends)].join(' to ')}`;
}
