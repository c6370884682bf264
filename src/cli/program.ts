// hastctl's command line: global options before or after the verb, one file per group of commands.
// Exit statuses are sysexits (control/exit-status.ts); the wrong use of the command line is 64.
import { Command, CommanderError } from 'commander';
import { VERSION } from '../base/version.js';
import { EXIT } from '../control/exit-status.js';
import { addArchiveCommands } from './archive-commands.js';
import { addCompletionCommand } from './completion.js';
import { addDaemonCommands } from './daemon-commands.js';
import { CliError } from './fault.js';
import { addLocalCommands } from './local-commands.js';
import { addPointCommands } from './point-commands.js';
import { addPruneCommand } from './prune-command.js';
import { addRepackCommand } from './repack-command.js';
import { addResourceCommands } from './resource-commands.js';
import { addRestoreCommands } from './restore-commands.js';
import { addRoundCommands } from './round-commands.js';
import { addServeCommand } from './serve-command.js';
import {
  type CliMachinery,
  CONFIG_PATH_DEFAULT,
  type GlobalOptions,
  type Run,
  Session,
} from './session.js';
import { addStatusCommands } from './status-commands.js';
import { addTargetCommands } from './target-commands.js';

export interface CliEnvironment {
  /** HAST_NODE, or null. */
  readonly node: string | null;
}

/** Runs one command line (without the program's name); resolves with the exit status. */
export async function runHastctl(
  args: readonly string[],
  environment: CliEnvironment,
  machinery: CliMachinery,
): Promise<number> {
  let status: number = EXIT.ok;
  const program = newProgram(machinery);
  const run: Run = async (command) => {
    const session = new Session(globalOptions(program, environment), machinery);
    try {
      status = await command(session);
    } catch (error) {
      status = session.failWhole(error);
    }
  };
  addStatusCommands(program, run);
  addResourceCommands(program, run);
  addRoundCommands(program, run);
  addPointCommands(program, run);
  addRestoreCommands(program, run);
  addPruneCommand(program, run);
  addRepackCommand(program, run);
  addTargetCommands(program, run);
  addLocalCommands(program, run);
  addArchiveCommands(program, run);
  addServeCommand(program, run);
  addDaemonCommands(program, run);
  addCompletionCommand(program, run);
  try {
    await program.parseAsync(plainWait(args), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return usageStatus(error, new Session(globalOptions(program, environment), machinery));
  }
  return status;
}

function newProgram(machinery: CliMachinery): Command {
  const count = (_value: string, before: number): number => before + 1;
  return new Command('hastctl')
    .description('control hastd, the off-site replicator of VM disks')
    .option('-c, --config <file>', 'configuration', CONFIG_PATH_DEFAULT)
    .option('--node <name>', 'be this node of the configuration (also HAST_NODE)')
    .option('--json', 'print JSON')
    .option('-d, --debug', 'say more; repeatable', count, 0)
    .version(`hastctl ${VERSION}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: machinery.out, writeErr: machinery.err })
    .exitOverride();
}

function globalOptions(program: Command, environment: CliEnvironment): GlobalOptions {
  const { config, node, json, debug } = program.opts<{
    config: string;
    node?: string;
    json?: boolean;
    debug: number;
  }>();
  return { config, node: node ?? environment.node, json: json ?? false, debug };
}

/** Help or the version was asked for: 0. Anything else was already said by commander: 64. */
function usageStatus(error: CommanderError, session: Session): number {
  if (error.exitCode === 0) return EXIT.ok;
  const text = error.message.replace(/^error: /, '');
  if (session.options.json) {
    const usage = new CliError({ code: 'CLI_USAGE', text });
    session.print({ error: { ...usage.fault, message: text, exitStatus: EXIT.usage } }, '');
  }
  return EXIT.usage;
}

/** `--wait` has an optional value, which must not swallow the name that follows it. */
function plainWait(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, i) => (arg === '--wait' && (end < 0 || i < end) ? '--wait=applied' : arg));
}
