// config and keygen: commands that need no daemon.
import type { Command } from 'commander';
import { codeOf } from '../base/errors.js';
import { formatFinding } from '../config/finding.js';
import { formatOrigins } from '../config/origins.js';
import { EXIT } from '../control/exit-status.js';
import { CliError } from './fault.js';
import type { Run, Session } from './session.js';

export function addLocalCommands(program: Command, run: Run): void {
  program
    .command('config')
    .description("print this node's effective settings and where each comes from")
    .option('--check', 'only check the file')
    .action((options: { check?: boolean }) =>
      run((session) => config(session, options.check ?? false)),
    );
  program
    .command('keygen')
    .description('write a new pre-shared key')
    .argument('<path>', 'file to make, mode 0600; an existing one is left alone')
    .action((path: string) => run((session) => keygen(session, path)));
}

async function config(session: Session, checkOnly: boolean): Promise<number> {
  const result = await session.load();
  const { settings, findings, origins } = result;
  for (const finding of findings) session.machinery.err(`${formatFinding(finding)}\n`);
  const checked = `${session.options.config}: good for node ${settings?.node}\n`;
  const text = checkOnly ? checked : formatOrigins(origins);
  session.print({ settings, origins, findings }, settings === null ? '' : text);
  return settings === null ? EXIT.config : EXIT.ok;
}

/** As `createSecretFile`; what cannot be written is SECRET_UNWRITABLE. */
async function keygen(session: Session, path: string): Promise<number> {
  try {
    await session.machinery.createSecret(path);
  } catch (cause) {
    const { cause: root } = cause instanceof Error ? cause : {};
    const errno = codeOf(root) ?? codeOf(cause) ?? String(cause);
    if (errno === 'EEXIST' || codeOf(cause) === 'SECRET_EXISTS') throw cause;
    throw new CliError({ code: 'SECRET_UNWRITABLE', path, errno }, { cause });
  }
  session.print({ path }, `${path}: new key; copy it to the other node by a safe way\n`);
  return EXIT.ok;
}
