// config, keygen, dump and recover: commands that need no daemon; recover wants none.
import type { Command } from 'commander';
import { codeOf, describeError, HastError } from '../base/errors.js';
import { formatFinding } from '../config/finding.js';
import { formatOrigins } from '../config/origins.js';
import type { ConfigFinding, ConfigResult, KeyFile } from '../config/settings.js';
import { EXIT } from '../control/exit-status.js';
import { CliError } from './fault.js';
import { renderDump } from './render-dump.js';
import { type Run, resourceOf, type Session } from './session.js';
import { pointName, shortTime } from './text.js';

export function addLocalCommands(program: Command, run: Run): void {
  program
    .command('config')
    .description("print this node's effective settings and where each comes from")
    .option('--check', 'only check the file, and the key files that it names')
    .action((options: { check?: boolean }) =>
      run((session) => config(session, options.check ?? false)),
    );
  program
    .command('keygen')
    .description('write a new pre-shared key')
    .argument('<path>', 'file to make, mode 0600; an existing one is left alone')
    .action((path: string) => run((session) => keygen(session, path)));
  program
    .command('dump')
    .description('what is stored here of a resource; needs no daemon')
    .argument('<name>', 'resource')
    .action((name: string) => run((session) => dump(session, name)));
  program
    .command('recover')
    .description('bring a replica to a whole point without daemon and peer')
    .argument('<name>', 'resource')
    .requiredOption('--offline', 'hastd does not run here; there is no other way to recover')
    .action((name: string) => run((session) => recover(session, name)));
}

async function dump(session: Session, name: string): Promise<number> {
  const settings = await session.settings();
  const stored = await session.machinery.dump(
    `${settings.statedir}/${resourceOf(settings, name).name}`,
  );
  session.print(stored, renderDump(stored));
  return EXIT.ok;
}

async function recover(session: Session, name: string): Promise<number> {
  const settings = await session.settings();
  resourceOf(settings, name);
  const recovered = await session.machinery.recoverOffline(settings, name);
  const { notes, point, path } = recovered;
  const lines = [
    point === null
      ? `${name}: ${path} stands at no whole point`
      : `${name}: ${path} stands at ${pointName(name, point)} of ${shortTime(point.time)}`,
    ...notes.map((note) => `  ${note}`),
  ];
  session.print(recovered, lines.map((line) => `${line}\n`).join(''));
  if (point === null) return session.fail(new CliError({ code: 'NO_WHOLE_POINT', name }));
  return EXIT.ok;
}

async function config(session: Session, checkOnly: boolean): Promise<number> {
  const result = await session.load();
  const { origins } = result;
  const ofKeys = checkOnly ? await keyFindings(session, result) : [];
  const findings = [...result.findings, ...ofKeys];
  const settings = ofKeys.some(({ level }) => level === 'error') ? null : result.settings;
  for (const finding of findings) session.machinery.err(`${formatFinding(finding)}\n`);
  const checked = `${session.options.config}: good for node ${settings?.node}\n`;
  const text = checkOnly ? checked : formatOrigins(origins);
  session.print({ settings, origins, findings }, settings === null ? '' : text);
  return settings === null ? EXIT.config : EXIT.ok;
}

/** What is wrong with the key files. hastd does not start, nor read its file again, with a bad
 * `secret`; with a bad `key` no round of that archive succeeds. */
async function keyFindings(session: Session, { keys }: ConfigResult): Promise<ConfigFinding[]> {
  const findings: ConfigFinding[] = [];
  for (const { setting, keyPath, line, column } of keys) {
    try {
      await session.machinery.checkSecret(keyPath, setting);
    } catch (error) {
      const where = { path: session.options.config, line, column, setting };
      findings.push({ ...where, ...keyFault(keyPath, WHENCE[setting], error) });
    }
  }
  return findings;
}

/** Another key would be none. */
const WHENCE: Readonly<Record<KeyFile['setting'], string>> = {
  secret: 'copy the file of the other node, for all nodes have one key',
  key: 'an archive that is there needs the file that it was sealed with',
};

function keyFault(
  path: string,
  whence: string,
  error: unknown,
): Pick<ConfigFinding, 'level' | 'text'> {
  const errno = errnoOf(error);
  if (errno === 'EACCES' || errno === 'EPERM') {
    return { level: 'note', text: `${path}: permission denied, so the key was not looked at` };
  }
  if (errno !== 'ENOENT') return { level: 'error', text: describeError(error) };
  const first = `if none has one yet, make it once: hastctl keygen ${path}`;
  return { level: 'error', text: `${path}: there is no key; ${whence} (${first})` };
}

const errnoOf = (error: unknown): string | null =>
  error instanceof HastError && 'errno' in error.fault ? String(error.fault.errno) : codeOf(error);

/** As `createSecretFile`; what cannot be written is SECRET_UNWRITABLE. */
async function keygen(session: Session, path: string): Promise<number> {
  try {
    await session.machinery.createSecret(path);
  } catch (cause) {
    const { cause: root } = cause instanceof Error ? cause : {};
    const errno = codeOf(root) ?? codeOf(cause) ?? String(cause);
    if (errno === 'EEXIST' || codeOf(cause) === 'SECRET_EXISTS') throw cause;
    throw new CliError({ code: 'SECRET_UNWRITABLE', path, errno }, { cause: root ?? cause });
  }
  session.print({ path }, `${path}: new key; copy it to the other node by a safe way\n`);
  return EXIT.ok;
}
