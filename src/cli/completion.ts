// completion: a script for the shell, made from the description of hastctl that commander has, and
// the names that the script asks for while somebody types. Nothing here asks the daemon.
import { Argument, type Command, Option } from 'commander';
import { EXIT } from '../control/exit-status.js';
import { bashScript } from './completion-bash.js';
import { fishScript } from './completion-fish.js';
import { type CompletionTree, completionTree } from './completion-tree.js';
import { zshScript } from './completion-zsh.js';
import { CliError } from './fault.js';
import type { Run, Session } from './session.js';

const SCRIPTS: Readonly<Record<string, (tree: CompletionTree) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};
const SHELLS = Object.keys(SCRIPTS);

interface CompletionOptions {
  readonly names?: boolean;
  readonly targets?: string;
}

export function addCompletionCommand(program: Command, run: Run): void {
  program
    .command('completion')
    .description('print a script that completes the command line of a shell')
    .addArgument(new Argument('[shell]', SHELLS.join(', ')).choices(SHELLS))
    .addOption(new Option('--names', 'print the resources of the configuration').hideHelp())
    .addOption(new Option('--targets <resource>', 'print the targets of one').hideHelp())
    .action((shell: string | undefined, options: CompletionOptions) =>
      run(async (session) => {
        if (options.names) return await printNames(session, null);
        if (options.targets !== undefined) return await printNames(session, options.targets);
        const script = SCRIPTS[shell ?? '']?.(completionTree(program));
        if (script === undefined) {
          const text = `the shell is missing; write completion ${SHELLS.join(', or ')}`;
          throw new CliError({ code: 'CLI_USAGE', text });
        }
        session.print({ script }, script);
        return EXIT.ok;
      }),
    );
}

/** Resources, or the targets of one; an unknown resource has none. */
async function printNames(session: Session, resource: string | null): Promise<number> {
  const { resources } = await session.settings();
  const named =
    resource === null
      ? resources
      : (resources.find(({ name }) => name === resource)?.targets ?? []);
  const names = named.map(({ name }) => name);
  session.print({ names }, names.map((name) => `${name}\n`).join(''));
  return EXIT.ok;
}
