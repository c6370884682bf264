// A fake target at the other end of a session, in memory or over loopback TLS.
import type { TestContext } from 'node:test';
import { type Clock, systemClock } from '../../src/base/clock.js';
import type { HastError } from '../../src/base/errors.js';
import { silentLog } from '../../src/base/log.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import type { ByteStream } from '../../src/net/stream.js';
import { greet, receiveGreeting } from '../../src/peer/greet.js';
import type { Session } from '../../src/peer/session.js';
import { serveTarget } from '../../src/receive/serve.js';
import { remoteTarget } from '../../src/target/remote.js';
import type { Target } from '../../src/target/target.js';
import { type MakePair, memoryPair } from '../net/pairs.js';
import { EPOCH, factsOf } from '../peer/material.js';
import { FakeTarget, indexOf } from './fake-target.js';
import type { RoundMaterial } from './target-contract.js';

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
      },
      commit: { round: to.id, from, to, frames: count, indexDigest: indexOf(frames) },
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
  return { target, fake, near, far, sender, receiver, served, round };
}
