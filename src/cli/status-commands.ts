// status and list: what the daemon says of its resources, one line each or everything; status also
// as a monitoring plug-in and over and over. --check answers any trouble on the way with UNKNOWN.
import type { Command } from 'commander';
import { describeError } from '../base/errors.js';
import { EXIT } from '../control/exit-status.js';
import { attachLines } from './attach.js';
import { type CheckResult, checkStatus, unknown } from './check.js';
import { CliError } from './fault.js';
import { renderList } from './render-list.js';
import { renderStatus } from './render-status.js';
import type { Run, Session } from './session.js';
import { watchStatus } from './watch.js';

export function addStatusCommands(program: Command, run: Run): void {
  program
    .command('status')
    .description('one line per resource; alarms, points, running rounds and errors around it')
    .argument('[name...]', 'resources, or all')
    .option('--check', 'one line and an exit status for a monitoring system')
    .option('--watch', 'show it every second until interrupted')
    .action((names: string[], options: { check?: boolean; watch?: boolean }) =>
      run((session) => {
        if (options.check && options.watch) {
          throw new CliError({ code: 'CLI_USAGE', text: '--check and --watch exclude each other' });
        }
        if (options.check) return check(session, wanted(names));
        if (options.watch) return watchStatus(session, wanted(names));
        return status(session, wanted(names));
      }),
    );
  program
    .command('list')
    .description('everything about each resource, with the lines that attach its disk')
    .argument('[name...]', 'resources, or all')
    .action((names: string[]) =>
      run(async (session) => {
        const answer = await (await session.client()).status(wanted(names));
        const resources = answer.resources.map((resource) => ({
          ...resource,
          attach: resource.nbdUri === null ? null : attachLines(resource.name, resource.nbdUri),
        }));
        session.print(
          { ...answer, resources },
          renderList(answer, session.machinery.clock.wallMs()),
        );
        return EXIT.ok;
      }),
    );
}

/** Names for the daemon: none means all. */
const wanted = (names: readonly string[]): readonly string[] =>
  names.includes('all') ? [] : names;

async function status(session: Session, names: readonly string[]): Promise<number> {
  const answer = await (await session.client()).status(names);
  session.print(answer, renderStatus(answer, session.machinery.clock.wallMs()));
  return EXIT.ok;
}

async function check(session: Session, names: readonly string[]): Promise<number> {
  const result = await checked(session, names);
  session.print(result, `${result.text}\n`);
  return result.exitStatus;
}

async function checked(session: Session, names: readonly string[]): Promise<CheckResult> {
  try {
    const settings = await session.settings();
    const answer = await session.status(await session.client(), []);
    const expected = settings.resources.map(({ name, targets }) => ({
      name,
      targets: targets.filter(({ remote }) => remote !== null).map((target) => target.name),
    }));
    return checkStatus(answer, expected, names, session.machinery.clock.wallMs());
  } catch (error) {
    return unknown(describeError(error));
  }
}
