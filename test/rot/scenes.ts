// Pairs that have been brought to where a kept file matters, and then stand still: each trial goes
// on from a fork of one. What the files of both ends read as on the way is kept too: an older
// version is what a lost write leaves.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { hex } from '../../src/base/random.js';
import { another, coded, cutAt, ready, shape } from '../crash/ladder-material.js';
import { DISK, STATE } from '../crash/nodes.js';
import type { Pair } from '../crash/pair.js';
import type { CrashWorld } from '../world/memory-files.js';
import { Heard } from './heard.js';

export type End = 'primary' | 'replica';

export interface Scene {
  readonly name: string;
  readonly pair: Pair;
  readonly heard: Heard;
  /** What `path` of an end has read as before, other than now. */
  olders(end: End, path: string): readonly Uint8Array[];
}

type Note = () => Promise<void>;
type Story = (pair: Pair, note: Note) => Promise<void>;

export const worldOf = (pair: Pair, end: End): CrashWorld =>
  end === 'primary' ? pair.senderWorld : pair.receiverWorld;

/** Names of the files that an end keeps. */
export const keptBy = (pair: Pair, end: End): Promise<readonly string[]> =>
  worldOf(pair, end).list(STATE);

async function sceneOf(name: string, seed: number, story: Story): Promise<Scene> {
  const heard = new Heard();
  const before = new Map<string, Uint8Array[]>();
  const pair = await ready(seed, { log: heard.log }, shape);
  const note = async (): Promise<void> => {
    for (const end of ['primary', 'replica'] as const) {
      for (const path of [DISK, ...(await keptBy(pair, end)).map((each) => `${STATE}/${each}`)]) {
        const bytes = worldOf(pair, end).peek(path);
        const key = `${end} ${path}`;
        if (bytes !== null) before.set(key, [...(before.get(key) ?? []), bytes.slice()]);
      }
    }
  };
  await note();
  await another(pair);
  await note();
  await another(pair);
  await note();
  await story(pair, note);
  pair.link?.cut();
  await turn();
  await pair.replica?.replica.close();
  // H27: what a lost table costs the points before is said in their entries.
  pair.drifted = true;
  const olders = (end: End, path: string): readonly Uint8Array[] => {
    const now = worldOf(pair, end).peek(path) ?? new Uint8Array(0);
    const all = before.get(`${end} ${path}`) ?? [];
    return all.filter((bytes) => Buffer.compare(bytes, now) !== 0);
  };
  return { name, pair, heard, olders };
}

/** What a guest leaves dirty, some of it published. */
async function dirtied(pair: Pair, note: Note): Promise<void> {
  const { disk, primary } = pair.primaryNode;
  await pair.guest.some(disk, 3);
  await primary.dirty.checkpoint();
  await note();
  await pair.guest.some(disk, 2);
  await note();
}

const STORIES: Readonly<Record<string, Story>> = {
  'clean stop': async (pair, note) => {
    await dirtied(pair, note);
    await pair.primaryNode.primary.closeClean();
  },
  killed: dirtied,
  'answer lost': async (pair, note) => {
    await dirtied(pair, note);
    pair.target.losesAnswerTo = 'commit';
    await assert.rejects(pair.round(), coded('TARGET_LOST'));
    await turn();
    await pair.replicaNode.replica.applyEnded();
    await note();
    await pair.guest.some(pair.primaryNode.disk, 2);
  },
  'in the middle of an apply': async (pair, note) => {
    await dirtied(pair, note);
    pair.receiverWorld.failNext({ operation: 'sync', path: DISK }, 'EIO');
    const { point } = await pair.round();
    await assert.rejects(pair.target.applied(point), coded('APPLY_FAILED'));
    await pair.guest.some(pair.primaryNode.disk, 2);
  },
  'committed, not applied': async (pair, note) => {
    await dirtied(pair, note);
    const from = pair.replicaNode.replica.record.point;
    assert.ok(from, 'it has a point');
    const path = `${STATE}/room-${hex(from.id)}.part`;
    pair.receiverWorld.failNext({ operation: 'rename', path }, 'EIO');
    const { point } = await pair.round();
    await assert.rejects(pair.target.applied(point), coded('APPLY_FAILED'));
    await pair.guest.some(pair.primaryNode.disk, 2);
  },
  staged: async (pair, note) => {
    await dirtied(pair, note);
    cutAt(pair, 'commit', 0);
    await assert.rejects(pair.round(), coded('TARGET_LOST'));
    pair.during = null;
    await note();
    await pair.guest.some(pair.primaryNode.disk, 1);
  },
};

export const SCENES: readonly string[] = Object.keys(STORIES);

const made = new Map<string, Promise<Scene>>();

/** The scene of that name and seed, made once. */
export function scene(name: string, seed: number): Promise<Scene> {
  const story = STORIES[name];
  assert.ok(story, `there is a scene "${name}"`);
  const key = `${name} ${seed}`;
  const found = made.get(key) ?? sceneOf(name, seed, story);
  made.set(key, found);
  return found;
}
