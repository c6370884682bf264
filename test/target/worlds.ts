// A fake target at the other end of a session, in memory or over loopback TLS.
import type { TestContext } from 'node:test';
import { type Clock, systemClock } from '../../src/base/clock.js';
import type { HastError } from '../../src/base/errors.js';
import { silentLog } from '../../src/base/log.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import type { FrameEntry } from '../../src/format/changeset.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import type { ByteStream } from '../../src/net/stream.js';
import { greet, receiveGreeting } from '../../src/peer/greet.js';
import type { Session } from '../../src/peer/session.js';
import { serveTarget } from '../../src/receive/serve.js';
import { remoteTarget } from '../../src/target/remote.js';
import type { Target } from '../../src/target/target.js';
import { type MakePair, memoryPair } from '../net/pairs.js';
import { EPOCH, factsOf } from '../peer/material.js';
import { FakeTarget, indexOf, reusedFrame } from './fake-target.js';
import type { RoundMaterial, TargetStores } from './target-contract.js';

export interface RemoteWorld {
  readonly target: Target;
  readonly fake: FakeTarget;
  /** Streams of the primary's and the secondary's side. */
  readonly near: ByteStream;
  readonly far: ByteStream;
  /** Sessions of the two sides. */
  readonly sender: Session;
  readonly receiver: Session;
  /** Settles when the serving side is through. */
  readonly served: Promise<HastError>;
  round(frames: number, frameBytes?: number): RoundMaterial;
  stores(): TargetStores;
}

/** Gives `fake` something of everything a target may be asked for. */
export function storesOf(fake: FakeTarget): TargetStores {
  const random = seededRandom(8);
  const entry = (chunk: number, mask: number, zero: number): FrameEntry => {
    return { chunk, mask, zero, digest: random.bytes(16) };
  };
  fake.holds = [entry(3, 0xffff, 0), entry(40, 0x0101, 0x0100), entry(90_000, 1, 1)];
  fake.doubtful = [0, 5, 6, 7, 40, 41, 1000];
  const chunk = { number: 7, bytes: random.bytes(65_536) };
  fake.chunks.set(chunk.number, chunk.bytes);
  return {
    held: fake.holds,
    doubts: fake.doubtful,
    reused: reusedFrame,
    indexOf,
    want: (chunks) => fake.want(chunks),
    chunk,
  };
}

/** Rounds from wherever `fake` stands. */
export function roundsFrom(fake: FakeTarget, random: Random) {
  let number = 100;
  return (count: number, frameBytes = 3000): RoundMaterial => {
    const frames = Array.from({ length: count }, () => random.bytes(frameBytes));
    number += 1;
    const to: PointRef = { id: random.bytes(16), number, timeMs: number * 1000 };
    const from = fake.point;
    const facts = factsOf('a');
    return {
      frames,
      begin: {
        kind: 'round',
        resource: facts.resourceId ?? new Uint8Array(16),
        round: to.id,
        epoch: EPOCH,
        from,
        to,
        sizeBytes: facts.sizeBytes,
        spaceBytes: count * frameBytes,
        resumeAt: 0,
        fill: null,
        again: false,
      },
      commit: {
        round: to.id,
        from,
        to,
        frames: count,
        indexDigest: indexOf(frames),
        consistency: 'crash',
        damaged: [],
      },
    };
  };
}

export interface RemoteOptions {
  readonly fake?: FakeTarget;
  readonly clock?: Clock;
  readonly pair?: MakePair;
}

/** Greets, serves and hands out the remote target; all ended after the test. */
export async function remoteWorld(
  t: TestContext,
  options: RemoteOptions = {},
): Promise<RemoteWorld> {
  const { fake = new FakeTarget(), clock = systemClock, pair = memoryPair } = options;
  const { near, far } = await pair(t);
  const random = seededRandom(77);
  const facts = { ...factsOf('b'), point: fake.point };
  const [sender, receiver] = await Promise.all([
    greet(near, factsOf('a'), { clock, random }),
    receiveGreeting(
      far,
      { identity: 'vm1' },
      { node: 'b', find: async () => ({ facts, insecure: false }) },
      { clock, random },
    ),
  ]);
  const served = serveTarget(receiver, fake, { log: silentLog });
  const target = remoteTarget(sender, 'b');
  t.after(() => far.destroy('the test is over'));
  t.after(() => near.destroy('the test is over'));
  const round = roundsFrom(fake, random);
  const stores = () => storesOf(fake);
  return { target, fake, near, far, sender, receiver, served, round, stores };
}
