// Whole nodes: the state directory of a replica that stopped in the middle of an apply, and of a
// primary, with one file of it replaced, opened by the real recovery code. What opened must open
// again: no bad file may become a state that cannot be read.
// Input: one byte that says which file (one more than there are: a new one, whose name is the first
// line), then its content.
import assert from 'node:assert/strict';
import { HastError } from '../../../src/base/errors.js';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { MIB } from '../../../src/base/units.js';
import { another, coded, ready, shape } from '../../crash/ladder-material.js';
import { DISK, PrimaryNode, ReplicaNode, STATE } from '../../crash/nodes.js';
import type { Pair } from '../../crash/pair.js';
import type { CrashWorld } from '../../world/memory-files.js';
import type { Opened, Target } from '../target.js';
import { mendFile } from './changesets.js';
import { mendDirty, mendState } from './state.js';
import { mendIntent, mendTable } from './tables.js';

interface Base {
  readonly pair: Pair;
  readonly world: CrashWorld;
  readonly names: readonly string[];
}

async function halfApplied(): Promise<Pair> {
  const pair = await ready(3, {}, shape);
  await another(pair);
  await pair.guest.some(pair.primaryNode.disk, 5);
  pair.receiverWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
  const { point } = await pair.round();
  await assert.rejects(pair.target.applied(point), coded('APPLY_FAILED'));
  await pair.guest.some(pair.primaryNode.disk, 3);
  pair.link?.cut();
  await pair.replica?.replica.close();
  return pair;
}

/** Made once: both ends, closed, everything durable. */
const PAIR = await halfApplied();

async function baseOf(world: CrashWorld): Promise<Base> {
  world.settle();
  const names = (await world.list(STATE)).filter((name) => !name.endsWith('.spill'));
  return { pair: PAIR, world, names };
}

const BASES = {
  replica: await baseOf(PAIR.receiverWorld),
  primary: await baseOf(PAIR.senderWorld),
};

function seedsOf({ world, names }: Base): Uint8Array[] {
  const files = names.map((name, at) => {
    const content = world.peek(`${STATE}/${name}`) ?? new Uint8Array(0);
    return Buffer.concat([Uint8Array.of(at), content]);
  });
  const committed = names.find((name) => name.startsWith('committed-')) ?? 'committed-0';
  const fresh = [`${committed}.bak`, committed.replace('committed', 'stage'), 'undo-x', 'x.part'];
  const more = fresh.map((name) =>
    Buffer.concat([Uint8Array.of(names.length), Buffer.from(`${name}\nHASTCHG1`)]),
  );
  return [...files, ...more].filter((bytes) => bytes.length <= INPUT_BYTES_MAX);
}

const INPUT_BYTES_MAX = 32_768;

function mendIn(base: Base, input: Uint8Array, random: Random): Uint8Array {
  const name = base.names[input[0] ?? 0] ?? '';
  const content = new Uint8Array(input.subarray(1));
  const mended = mendByName(name, content, random);
  return Buffer.concat([input.subarray(0, 1), mended]);
}

function mendByName(name: string, content: Uint8Array, random: Random): Uint8Array {
  if (name.startsWith('resource.json')) return mendState(content);
  if (name.endsWith('.dirty')) return mendDirty(content, random);
  if (name.endsWith('.digests')) return mendTable(content);
  if (name === 'intent.map') return mendIntent(content);
  return /^(committed|undo|stage)-/.test(name) ? mendFile(content, random) : content;
}

/** A copy of the world with that file. Null: it has no name. */
function planted(base: Base, input: Uint8Array): CrashWorld | null {
  const world = base.world.afterCrash('none', seededRandom(1));
  const at = (input[0] ?? 0) % (base.names.length + 1);
  let [name, content] = [base.names[at], input.subarray(1)];
  if (name === undefined) {
    const end = content.indexOf(10);
    name = Buffer.from(content.subarray(0, Math.max(end, 0))).toString('latin1');
    content = content.subarray(end + 1);
    if (!/^[\w.-]{1,80}$/.test(name) || /^\.+$/.test(name)) return null;
  }
  world.plant(`${STATE}/${name}`, content);
  // Else the other copy would be taken for whatever is wrong with this one.
  if (name === 'resource.json') world.plant(`${STATE}/${name}.2`, content);
  return world;
}

type Open = (world: CrashWorld) => Promise<() => Promise<void>>;

const openReplica: Open = async (world) => {
  const { replica } = await ReplicaNode.open(world, PAIR, 'boot');
  return () => replica.close();
};

const openPrimaryNode: Open = async (world) => {
  const { primary } = await PrimaryNode.open(world, PAIR, 'boot-0');
  return () => primary.closeClean();
};

function run(base: Base, open: Open): Opened['run'] {
  return async (input) => {
    const world = planted(base, input);
    if (world === null) return 'refused';
    let close: () => Promise<void>;
    try {
      close = await open(world);
    } catch (error) {
      if (error instanceof HastError) return 'refused';
      throw error;
    }
    await close();
    await (await open(world))();
    return 'accepted';
  };
}

const WORDS = ['committed-', 'stage-', 'undo-', 'lost-', '.bak', '.part', '.new', 'disk.digests'];

const target = (name: string, base: Base, open: Open): Target => ({
  name,
  kind: 'json',
  inputBytesMax: INPUT_BYTES_MAX,
  onceBytesMax: 8 * MIB,
  totalBytesMax: 256 * MIB,
  words: WORDS,
  seeds: () => seedsOf(base),
  mend: (input, random) => mendIn(base, input, random),
  open: () => ({ run: run(base, open), close: () => {} }),
});

export const NODE_TARGETS: readonly Target[] = [
  target('replica-start', BASES.replica, openReplica),
  target('primary-start', BASES.primary, openPrimaryNode),
];
