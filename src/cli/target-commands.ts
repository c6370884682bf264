// pause, resume, cancel and set: an operator's word about rounds, for one target of a resource or
// for all of them. What they change is remembered by the daemon, not written to the configuration.
import type { Command } from 'commander';
import { KEYWORDS } from '../config/keywords.js';
import { rateBits, valueFault } from '../config/value.js';
import type { NotesAnswer } from '../control/api.js';
import type { ControlClient } from '../control/client.js';
import { EXIT } from '../control/exit-status.js';
import type { TargetRequest } from '../control/retention-api.js';
import { CliError } from './fault.js';
import type { Run, Session } from './session.js';

type Order = (client: ControlClient, name: string, request: TargetRequest) => Promise<NotesAnswer>;

interface Verb {
  readonly name: string;
  readonly description: string;
  readonly done: string;
  readonly order: Order;
}

const VERBS: readonly Verb[] = [
  {
    name: 'pause',
    description: 'hold the schedule; a running round goes on. Kept over restarts',
    done: 'paused',
    order: (client, name, request) => client.pause(name, request),
  },
  {
    name: 'resume',
    description: 'end a pause',
    done: 'resumed',
    order: (client, name, request) => client.resume(name, request),
  },
  {
    name: 'cancel',
    description: 'end the running round; nothing is lost and the schedule goes on',
    done: 'cancelled',
    order: (client, name, request) => client.cancel(name, request),
  },
];

export function addTargetCommands(program: Command, run: Run): void {
  for (const { name: verb, description, done, order } of VERBS) {
    program
      .command(verb)
      .description(description)
      .argument('<name>', 'resource')
      .argument('[target]', 'only this target')
      .action((name: string, target: string | undefined) =>
        run(async (session) => {
          const request = { target: target ?? null };
          const answer = await order(await session.client(), name, request);
          session.printNotes(`${placeOf(name, request)}: ${done}`, answer);
          return EXIT.ok;
        }),
      );
  }
  program
    .command('set')
    .description('change a setting at once, until it is set back to default')
    .argument('<name>', 'resource')
    .argument('<setting>', 'rate')
    .argument('<value>', 'such as 20mbit; none; default: as configured')
    .option('--target <target>', 'only this target')
    .action((name: string, setting: string, value: string, options: { target?: string }) =>
      run((session) => set(session, name, setting, value, options.target ?? null)),
    );
}

const placeOf = (name: string, { target }: TargetRequest): string =>
  target === null ? name : `${name} ${target}`;

async function set(
  session: Session,
  name: string,
  setting: string,
  value: string,
  target: string | null,
): Promise<number> {
  if (setting !== 'rate') {
    const text = `${setting} cannot be set; only rate can be (the rest is in hast.conf)`;
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  const rateBitsPerSecond = readRate(value);
  const answer = await (await session.client()).set(name, { target, rateBitsPerSecond });
  session.printNotes(`${placeOf(name, { target })}: rate ${value}`, answer);
  return EXIT.ok;
}

/** Null: the configuration's; 0: no limit. Error CLI_BAD_VALUE. */
function readRate(text: string): number | null {
  if (text === 'default') return null;
  if (text === 'none') return 0;
  const keyword = KEYWORDS.find((each) => each.name === 'rate');
  const fault = keyword === undefined ? null : valueFault(keyword, text);
  const bits = rateBits(text);
  if (fault === null && bits !== null) return bits;
  throw new CliError({ code: 'CLI_BAD_VALUE', option: 'rate', value: text, text: fault ?? 'bad' });
}
