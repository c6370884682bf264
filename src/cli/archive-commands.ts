// `hastctl archive`: what is done with an archive by its url, on any machine, without a daemon.
import { Argument, type Command } from 'commander';
import { EXIT } from '../control/exit-status.js';
import type { Probe } from '../store/probe.js';
import { type StoreFlags, storeRequest, withStoreOptions } from './archive-address.js';
import { CliError } from './fault.js';
import { renderProbe } from './render-archive.js';
import type { Run, Session } from './session.js';

interface CheckFlags extends StoreFlags {
  readonly class?: string;
}

export function addArchiveCommands(program: Command, run: Run): void {
  const what = new Argument('<what>', 'check').choices(['check']);
  const command = program
    .command('archive')
    .description('try out what a bucket or directory really honours; needs no daemon')
    .addArgument(what)
    .argument('<url>', 's3://BUCKET/PREFIX or file:///DIRECTORY');
  withStoreOptions(command)
    .option('--class <name>', 'storage class to try')
    .action((_what: string, url: string, flags: CheckFlags) =>
      run((session) => check(session, url, flags)),
    );
}

async function check(session: Session, url: string, flags: CheckFlags): Promise<number> {
  const storageClass = flags.class ?? null;
  const probe = await session.machinery.probeStore({ ...storeRequest(url, flags), storageClass });
  session.print(probe, renderProbe(probe));
  if (probe.verdict === 'safe') return EXIT.ok;
  return session.fail(unfit(probe));
}

function unfit({ url, verdict, findings }: Probe) {
  const missing = findings.filter(({ result }) => result !== 'yes').map(({ name }) => name);
  const facts = { url, missing: missing.join(', ') };
  return verdict === 'one-writer'
    ? new CliError({ code: 'ARCHIVE_ONE_WRITER', ...facts })
    : new CliError({ code: 'ARCHIVE_UNSAFE', ...facts });
}
