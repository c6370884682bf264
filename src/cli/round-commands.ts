// sync and rounds: what is carried, what was carried. sync --wait returns 0 only when every target
// committed (and applied) or had nothing.
import { type Command, InvalidArgumentError } from 'commander';
import { humanSeconds } from '../base/units.js';
import { ControlError, type SyncAnswer, type SyncRequest } from '../control/api.js';
import { EXIT } from '../control/exit-status.js';
import { CliError } from './fault.js';
import { showProgress } from './progress.js';
import { renderEstimate, renderRounds, renderSync } from './render-tables.js';
import type { Run, Session } from './session.js';

export function addRoundCommands(program: Command, run: Run): void {
  program
    .command('sync')
    .description('run a round now')
    .argument('<name>', 'resource')
    .option('--wait [until]', 'wait until it is applied, or with =commit irrevocable', readWait)
    .option('--dry-run', 'only say what a round would cost now')
    .action((name: string, options: { wait?: 'applied' | 'commit'; dryRun?: boolean }) =>
      run((session) =>
        options.dryRun
          ? estimate(session, name)
          : sync(session, name, { wait: options.wait ?? null }),
      ),
    );
  program
    .command('rounds')
    .description('rounds of a resource, newest last')
    .argument('<name>', 'resource')
    .action((name: string) =>
      run(async (session) => {
        const answer = await (await session.client()).rounds(name);
        session.print(answer, renderRounds(name, answer.rounds));
        return EXIT.ok;
      }),
    );
}

function readWait(text: string): 'applied' | 'commit' {
  if (text === 'applied' || text === 'commit') return text;
  throw new InvalidArgumentError('Write --wait, --wait=applied or --wait=commit.');
}

async function estimate(session: Session, name: string): Promise<number> {
  const answer = await (await session.client()).estimate(name);
  // As the round itself: what is sent to nobody is no success.
  if (answer.targets.length === 0) {
    const none = { target: 'with an address', known: 'none' };
    throw new ControlError({ code: 'CONTROL_NO_TARGET', name, ...none });
  }
  session.print(answer, renderEstimate(name, answer));
  return EXIT.ok;
}

async function sync(session: Session, name: string, request: SyncRequest): Promise<number> {
  const client = await session.client();
  const stop = new AbortController();
  const watch = request.wait !== null && !session.options.json;
  const watching = watch ? showProgress(session, client, name, stop.signal) : null;
  const started = session.machinery.clock.monotonicMs();
  let answer: SyncAnswer;
  try {
    answer = await client.sync(name, request, new AbortController().signal);
  } finally {
    stop.abort();
    await watching;
  }
  session.print(answer, renderSync(name, answer));
  const seconds = (session.machinery.clock.monotonicMs() - started) / 1000;
  session.debug(`the round took ${humanSeconds(seconds)}`);
  const failed = answer.outcomes.filter(({ outcome }) => outcome === 'failed');
  if (failed.length === 0) return EXIT.ok;
  const targets = failed.map(({ target }) => target).join(', ');
  return session.fail(new CliError({ code: 'ROUND_NOT_COMMITTED', name, targets }));
}
