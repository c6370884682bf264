// status and list: what the daemon says of its resources, one line each or everything.
import type { Command } from 'commander';
import { EXIT } from '../control/exit-status.js';
import { attachLines } from './attach.js';
import { renderList } from './render-list.js';
import { renderStatus } from './render-status.js';
import type { Run } from './session.js';

export function addStatusCommands(program: Command, run: Run): void {
  program
    .command('status')
    .description('one line per resource; points, running rounds and errors below it')
    .argument('[name...]', 'resources, or all')
    .action((names: string[]) =>
      run(async (session) => {
        const answer = await (await session.client()).status(wanted(names));
        session.print(answer, renderStatus(answer, session.machinery.clock.wallMs()));
        return EXIT.ok;
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
