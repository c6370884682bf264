// `hastctl archive`: what is done with an archive by its url, on any machine, without a daemon.
import { Argument, type Command } from 'commander';
import { EXIT } from '../control/exit-status.js';
import type { Probe } from '../store/probe.js';
import { CliError } from './fault.js';
import { renderProbe } from './render-archive.js';
import type { Run, Session, StoreRequest } from './session.js';

interface StoreFlags {
  readonly endpoint?: string;
  readonly region?: string;
  readonly checksums: string;
  readonly class?: string;
}

export function addArchiveCommands(program: Command, run: Run): void {
  const what = new Argument('<what>', 'check').choices(['check']);
  program
    .command('archive')
    .description('try out what a bucket or directory really honours; needs no daemon')
    .addArgument(what)
    .argument('<url>', 's3://BUCKET/PREFIX or file:///DIRECTORY')
    .option('--endpoint <url>', 'of an S3 server that is not AWS')
    .option('--region <name>', 'of the bucket; default: of the usual AWS places')
    .option('--checksums <when>', 'supported, or required: for servers without them', 'supported')
    .option('--class <name>', 'storage class to try')
    .action((_what: string, url: string, flags: StoreFlags) =>
      run((session) => check(session, url, flags)),
    );
}

async function check(session: Session, url: string, flags: StoreFlags): Promise<number> {
  const probe = await session.machinery.probeStore(requestOf(url, flags));
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

function requestOf(url: string, flags: StoreFlags): StoreRequest {
  const { endpoint = null, region = null, checksums } = flags;
  if (checksums !== 'supported' && checksums !== 'required') {
    const text = 'it is supported or required';
    throw new CliError({ code: 'CLI_BAD_VALUE', option: '--checksums', value: checksums, text });
  }
  if (endpoint !== null && !/^https?:\/\/[^/?#@]+\/?$/.test(endpoint)) {
    const text = 'it is written http://host[:port] or https://host[:port]';
    throw new CliError({ code: 'CLI_BAD_VALUE', option: '--endpoint', value: endpoint, text });
  }
  return { url, endpoint, region, checksums, storageClass: flags.class ?? null };
}
