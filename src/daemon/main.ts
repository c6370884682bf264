// hastd: options, configuration, going into the background, signals, exit status. With -F it stays
// in the foreground and logs to standard error; else it runs itself again, detached, logging to
// STATEDIR/hastd.log, and returns when the control socket of that one answers.
import { spawn } from 'node:child_process';
import { fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { systemClock } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import { VERSION } from '../base/version.js';
import { formatFinding } from '../config/finding.js';
import { loadConfig } from '../config/load.js';
import { nodeNames } from '../config/node.js';
import type { ConfigResult, NodeSettings } from '../config/settings.js';
import { controlClient } from '../control/client.js';
import { EXIT, exitStatusOf } from '../control/exit-status.js';
import { machineFacts } from '../control/machine-facts.js';
import { checkCron } from '../schedule/firing.js';
import { longestGapSeconds } from '../schedule/gap.js';
import { DaemonError } from './daemon-faults.js';
import { runForeground } from './foreground.js';

interface Options {
  readonly config: string;
  readonly node?: string;
  readonly foreground?: boolean;
  readonly debug?: boolean;
  readonly pidfile?: string;
}

/** Background start: how often and how long the parent looks for an answer. */
const POLL_MS = 50;
const ANSWER_MS_MAX = 60_000;

/** Runs hastd with its arguments; sets the exit status. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    const options = parse(args);
    if (options === null) return;
    const settings = configuration(options);
    if (settings === null) return;
    if (options.foreground) {
      const level = options.debug ? 'debug' : 'info';
      await runForeground({ settings, level, reread: () => reread(options) });
    } else await detach(settings, args);
  } catch (error) {
    process.stderr.write(`hastd: ${describeError(error)}\n`);
    process.exit(exitStatusOf(codeOf(error)));
  }
}

function parse(args: readonly string[]): Options | null {
  const command = new Command('hastd')
    .description('replicates VM disks off-site; see hastd(8)')
    .option('-c, --config <file>', 'configuration file', '/etc/hast.conf')
    .option('--node <name>', 'name of this node in the file (also HAST_NODE)')
    .option('-F, --foreground', 'stay in the foreground, log to standard error')
    .option('-d, --debug', 'log more')
    .option('-P, --pidfile <file>', 'file for the process id, instead of the configured one')
    .version(`hastd ${VERSION}`, '-V, --version', 'print the version')
    .exitOverride();
  try {
    return command.parse([...args], { from: 'user' }).opts<Options>();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage;
    return null;
  }
}

/** The configuration, or null after saying what is wrong with it. */
function configuration(options: Options): NodeSettings | null {
  let result: ConfigResult;
  try {
    result = load(options);
  } catch (error) {
    process.stderr.write(`hastd: ${describeError(error)}\n`);
    process.exitCode = EXIT.configUnreadable;
    return null;
  }
  for (const finding of result.findings) process.stderr.write(`${formatFinding(finding)}\n`);
  if (result.settings === null) process.exitCode = EXIT.config;
  return result.settings;
}

/** The configuration for a daemon that runs. Errors CONFIG_UNREADABLE, CONFIG_INVALID. */
function reread(options: Options): NodeSettings {
  const { settings, findings } = load(options);
  if (settings !== null) return settings;
  const wrong = findings.filter(({ level }) => level === 'error').map(formatFinding);
  throw new DaemonError({ code: 'CONFIG_INVALID', path: options.config, findings: wrong });
}

function load(options: Options): ConfigResult {
  const { config: path, pidfile } = options;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const why = describeError(cause);
    throw new DaemonError({ code: 'CONFIG_UNREADABLE', path, text: why }, { cause });
  }
  const names = nodeNames(options.node ?? process.env['HAST_NODE'] ?? null, machineFacts());
  const result = loadConfig(text, path, { names }, checkCron, longestGapSeconds);
  if (result.settings === null || pidfile === undefined) return result;
  return { ...result, settings: { ...result.settings, pidfile } };
}

async function detach(settings: NodeSettings, args: readonly string[]): Promise<void> {
  const path = `${settings.statedir}/hastd.log`;
  const fd = openLog(settings.statedir, path);
  const logBytes = fstatSync(fd).size;
  const [script] = process.argv.slice(1, 2);
  const child = spawn(process.execPath, [script ?? '', ...args, '-F'], {
    detached: true,
    stdio: ['ignore', 'ignore', fd],
  });
  let ended: number | null = null;
  child.on('exit', (status) => {
    ended = status ?? EXIT.software;
  });
  child.on('error', () => {
    ended = EXIT.software;
  });
  const client = controlClient(settings.control);
  for (let waited = 0; waited < ANSWER_MS_MAX && ended === null; waited += POLL_MS) {
    const answer = await client.status([]).catch(() => null);
    if (answer?.pid === child.pid) {
      child.unref();
      return;
    }
    await systemClock.sleep(POLL_MS);
  }
  const said = readFileSync(path).subarray(logBytes).toString();
  const why = said.split('\n').filter((line) => line.startsWith('hastd: '));
  if (ended !== null && why.length > 0) {
    process.stderr.write(`${why.join('\n')}\n`);
    process.exit(ended);
  }
  const text =
    ended === null ? 'its control socket does not answer' : `exit status ${ended}, see ${path}`;
  throw new DaemonError({ code: 'DAEMON_START_FAILED', text });
}

function openLog(statedir: string, path: string): number {
  try {
    mkdirSync(statedir, { recursive: true, mode: 0o700 });
    return openSync(path, 'a', 0o600);
  } catch (error) {
    const text = describeError(error);
    throw new DaemonError({ code: 'STATEDIR_UNUSABLE', path: statedir, text }, { cause: error });
  }
}
