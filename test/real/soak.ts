// `npm run soak -- [kill|network|power|archive|all]`: the stories of test/real that CI tells short,
// told long. Each is a test of node:test with a seed of its own in its title: the same command with
// `--seed` and that number, and `--kills 25`, `--cuts 10` or `--rounds 30` with it, tells that
// story again. Status 0 only if nothing failed.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Argument, Command, InvalidArgumentError } from 'commander';
import { systemClock } from '../../src/base/clock.js';
import { MIB } from '../../src/base/units.js';
import { needTool } from '../real.js';
import { endRgw, killRgw, RGW_TOOLS, startRgw } from '../store/rgw.js';
import { rgwPlace } from './archive-places.js';
import { tellArchive } from './archive-story.js';
import { seedFromEnv } from './guest.js';
import { type Cast, killsAndPromotion } from './kill-story.js';
import { badNetwork } from './network-story.js';
import { replicaCuts, senderCuts } from './power-story.js';

const MINUTE_MS = 60_000;
/** What a checker must remember grows with a story: many short ones, each with new nodes. */
const KILLS_IN_STORY = 25;
const CASTS: readonly Cast[] = [
  { targets: 1, metaflush: 'off' },
  { targets: 2, metaflush: 'on' },
  { targets: 1, metaflush: 'on' },
  { targets: 2, metaflush: 'off' },
];

const CUTS_IN_STORY = 10;
/** Of the network, where `--minutes` does not say it. */
const NETWORK_MINUTES = 8;

interface Options {
  readonly kills: number;
  /** Of each side. */
  readonly cuts: number;
  readonly seed: number;
  /** Of an archive. */
  readonly rounds: number;
  /** Null: as long as it takes. */
  readonly minutes: number | null;
}

const SOAKS = { kill: soakKill, network: soakNetwork, power: soakPower, archive: soakArchive };
type Kind = keyof typeof SOAKS;
const KINDS: readonly Kind[] = ['kill', 'network', 'power', 'archive'];

const program = new Command('soak')
  .description('the long stories of real processes')
  .addArgument(new Argument('[kind]').choices([...KINDS, 'all']).default('all'))
  .option('--kills <n>', 'SIGKILLs of a sender or a receiver', count, 500)
  .option('--cuts <n>', 'power cuts of each side; needs root', count, 50)
  .option('--rounds <n>', 'of an archive in Ceph RGW', count, 30)
  .option('--minutes <n>', 'of the network (8); of the others: begin no story after as many', count)
  .option('--seed <n>', 'of the first story (also HAST_SEED); the next have the next', count)
  .action(async (kind: Kind | 'all', given: Partial<Options>) => {
    const { kills = 500, cuts = 50, rounds = 30, minutes = null } = given;
    const { seed = seedFromEnv() } = given;
    for (const one of KINDS) {
      if (kind === 'all' || kind === one) await SOAKS[one]({ kills, cuts, rounds, minutes, seed });
    }
  });
// Ends through its exit handlers: no daemon stays behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
await program.parseAsync();

/** Stories of `each` until there are `total`, or the time is over. */
async function stories(
  total: number,
  each: number,
  { minutes, seed }: Options,
  tell: (many: number, seed: number) => Promise<void>,
): Promise<void> {
  const endMs = minutes === null ? Number.POSITIVE_INFINITY : nowMs() + minutes * MINUTE_MS;
  for (let told = 0, next = seed; told < total && nowMs() < endMs; next += 1) {
    const many = Math.min(each, total - told);
    await tell(many, next);
    told += many;
  }
}

function soakKill(options: Options): Promise<void> {
  return stories(options.kills, KILLS_IN_STORY, options, async (kills, seed) => {
    const cast = CASTS[seed % CASTS.length];
    if (cast === undefined) return;
    const title = `${kills} kills, targets ${cast.targets}, metaflush ${cast.metaflush}`;
    await test(`${title}, HAST_SEED=${seed}`, (t) => killsAndPromotion(t, cast, { kills, seed }));
  });
}

async function soakPower(options: Options): Promise<void> {
  await stories(options.cuts, CUTS_IN_STORY, options, async (cuts, seed) => {
    const metaflush = seed % 2 === 0 ? 'off' : 'on';
    const tale = { metaflush, cuts, seed } as const;
    const title = `${cuts} power cuts of the sender, metaflush ${metaflush}`;
    await test(`${title}, HAST_SEED=${seed}`, (t) => senderCuts(t, tale));
    await test(`${cuts} power cuts of the receiver, HAST_SEED=${seed}`, (t) =>
      replicaCuts(t, tale));
  });
}

/** Half of the time with TLS, half without. */
async function soakNetwork({ minutes, seed }: Options): Promise<void> {
  const seconds = ((minutes ?? NETWORK_MINUTES) * 60) / 2;
  for (const tls of [true, false]) {
    const title = `${seconds} s of a bad network, ${tls ? 'TLS' : 'plain TCP'}`;
    await test(`${title}, HAST_SEED=${seed}`, (t) => badNetwork(t, { tls, seed, seconds }));
  }
}

/** A working disk for `rounds` days; hastd and radosgw die in every third. */
async function soakArchive({ rounds, seed }: Options): Promise<void> {
  await test(`${rounds} rounds to Ceph RGW, HAST_SEED=${seed}`, async (t) => {
    if (!needTool(t, ...RGW_TOOLS)) return;
    const folder = mkdtempSync(join(tmpdir(), 'hast-rgw-'));
    const atExit = (): void => killRgw(folder);
    process.once('exit', atExit);
    t.after(async () => {
      process.off('exit', atExit);
      await endRgw(folder);
      rmSync(folder, { recursive: true, force: true });
    });
    const rgw = await startRgw(folder);
    const size = { sizeBytes: 64 * MIB, firstBytes: 40 * MIB };
    const often = { firstKills: 3, killOneIn: 3, lookEvery: 7 };
    await tellArchive(t, { seed, rounds, ...size, ...often, sealed: 'key' }, () =>
      rgwPlace(rgw, 'hast'),
    );
  });
}

function nowMs(): number {
  return systemClock.monotonicMs();
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('a whole number above 0');
}
