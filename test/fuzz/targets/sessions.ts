// Whole sessions of two peers: a real replica in memory behind the greeting and serveTarget, fed
// with a session of a real primary that was changed; and a real primary's side (remoteTarget) fed
// with the changed answers of a replica. Afterwards a well-formed peer must be served.
import assert from 'node:assert/strict';
import { HastError } from '../../../src/base/errors.js';
import { silentLog } from '../../../src/base/log.js';
import { seededRandom } from '../../../src/base/random.js';
import { MIB } from '../../../src/base/units.js';
import type { ByteStream } from '../../../src/net/stream.js';
import { greet, receiveGreeting } from '../../../src/peer/greet.js';
import { HEADER_BYTES } from '../../../src/peer/header.js';
import type { PeerFacts } from '../../../src/peer/messages.js';
import type { Session } from '../../../src/peer/session.js';
import { serveTarget } from '../../../src/receive/serve.js';
import { ReplicaSession } from '../../../src/receive/session.js';
import { contact } from '../../../src/round/contact.js';
import { newCounts } from '../../../src/round/parts.js';
import { runRound } from '../../../src/round/round.js';
import { remoteTarget } from '../../../src/target/remote.js';
import { ready, shape } from '../../crash/ladder-material.js';
import { ReplicaNode } from '../../crash/nodes.js';
import { memoryStreamPair } from '../../net/memory-stream.js';
import { cutUp, factsOf, fedStream, idOf } from '../../peer/material.js';
import { FakeClock } from '../../world/fake-clock.js';
import type { Target } from '../target.js';
import { mendMessages } from './peer.js';

const INPUT_BYTES_MAX = 70_000;

/** A pair with a point, and something dirty at the primary; the replica is closed. */
async function prepared() {
  const pair = await ready(11, {}, shape);
  await pair.guest.some(pair.primaryNode.disk, 4);
  pair.link?.cut();
  await pair.replica?.replica.close();
  pair.receiverWorld.settle();
  return pair;
}

const PAIR = await prepared();

const replicaOf = () =>
  ReplicaNode.open(PAIR.receiverWorld.afterCrash('none', seededRandom(1)), PAIR, 'boot');

function factsOfNode(node: string, from: ReplicaNode | null): PeerFacts {
  const { state } = (from ?? PAIR.primaryNode).resourceFile;
  const { resource: resourceId, epochs, sizeBytes } = state;
  const point = from === null ? (state.targets['b']?.point ?? null) : from.replica.point;
  return factsOf(node, { resourceId, epochs, sizeBytes, point });
}

/** Greets the caller of `stream` and serves it as the daemon does. */
async function served(node: ReplicaNode, stream: ByteStream, clock: FakeClock): Promise<HastError> {
  const facts = factsOfNode('b', node);
  const host = { node: 'b', find: async () => ({ facts, insecure: true }) };
  // The session's number follows from it, so that frames that were recorded belong to it.
  const machinery = { clock, random: seededRandom(7) };
  const session = await receiveGreeting(stream, { identity: null }, host, machinery);
  return serveTarget(session, new ReplicaSession(node.replica), { log: silentLog });
}

/** A stream whose writes are also put into `pieces`. */
const recorded = (stream: ByteStream, pieces: Uint8Array[]): ByteStream =>
  new Proxy(stream, {
    get(real, name) {
      if (name === 'write') {
        return (some: readonly Uint8Array[]) => {
          for (const piece of some) pieces.push(Uint8Array.from(piece));
          return real.write(some);
        };
      }
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? value.bind(real) : value;
    },
  });

/** What a primary and a replica say to each other while `work` is done. */
async function record(work: (session: Session) => Promise<void>) {
  const [said, answered]: [Uint8Array[], Uint8Array[]] = [[], []];
  const [near, far] = memoryStreamPair({ names: ['b:1', 'b:1'] });
  const node = await replicaOf();
  const clock = new FakeClock({ autoAdvance: true });
  const over = served(node, recorded(far, answered), clock);
  const mine = factsOfNode('a', null);
  const session = await greet(recorded(near, said), mine, { clock, random: seededRandom(8) });
  await work(session);
  await session.close();
  await over;
  await node.replica.close();
  return { said: Buffer.concat(said), answered: Buffer.concat(answered) };
}

const never = new AbortController().signal;

async function aRound(session: Session): Promise<void> {
  const target = remoteTarget(session, 'b');
  const { parts } = PAIR.primaryNode;
  assert.equal(await contact(parts, target), 'ready');
  const { point } = await runRound(parts, target, newCounts('round'), never, null);
  await target.applied(point);
}

const SAID = [(await record(questions)).said, (await record(aRound)).said];
const ANSWERED = [(await record(questions)).answered];

/** As a replica that answers each message with the next one of `input`, whatever was asked. */
async function answerEach(stream: ByteStream, input: Uint8Array): Promise<void> {
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  let at = 0;
  for (;;) {
    const piece = await stream.read().catch(() => null);
    if (piece === null) return;
    if (piece.length !== HEADER_BYTES) continue;
    const whole = at + HEADER_BYTES <= input.length ? view.getUint32(at) + HEADER_BYTES : 0;
    const next = input.subarray(at, at + Math.max(whole, 1));
    at += next.length;
    if (next.length === 0) return await stream.end().catch(() => {});
    await stream.write([next]).catch(() => {});
  }
}

/** A question of a well-formed primary is answered. */
async function asks(node: ReplicaNode): Promise<void> {
  const [near, far] = memoryStreamPair({ names: ['b:1', 'b:1'] });
  const clock = new FakeClock({ autoAdvance: true });
  const over = served(node, far, clock);
  const random = seededRandom(9);
  const session = await greet(near, factsOfNode('a', null), { clock, random });
  session.start(() => {});
  const answer = await session.ask({ type: 'outcome', round: idOf(1) });
  assert.equal(answer.type, 'outcome-is');
  await session.close();
  await over;
}

const toReplica: Target = {
  name: 'peer-session',
  kind: 'bytes',
  inputBytesMax: INPUT_BYTES_MAX,
  onceBytesMax: 8 * MIB,
  totalBytesMax: 256 * MIB,
  seeds: () => SAID,
  mend: mendMessages,
  open: () => ({
    run: async (input) => {
      const node = await replicaOf();
      // All of it is there at once; what is answered is dropped.
      const stream = fedStream(cutUp(input, [700, 33, 4000]));
      const clock = new FakeClock({ autoAdvance: true });
      const verdict = await served(node, stream, clock).then(
        () => 'accepted' as const,
        (error: unknown) => {
          if (error instanceof HastError) return 'refused' as const;
          throw error;
        },
      );
      await asks(node);
      await node.replica.close();
      return verdict;
    },
    close: () => {},
  }),
};

/** What a primary asks; what it is told is what was asked for. */
async function questions(session: Session): Promise<void> {
  const target = remoteTarget(session, 'b');
  const { point } = target.state;
  await target.outcome(idOf(1));
  const { digests } = await target.digests(0, 5, 'table');
  assert.equal(digests.length, 5 * 16, 'as many digests as were asked for');
  // Of no round: refused, or answered all the same.
  const held = await target.held(0, 100).catch((error: unknown) => {
    if (error instanceof HastError) return [];
    throw error;
  });
  for (const { chunk, mask, zero } of held) {
    assert.ok(chunk < 100 && mask > 0 && (zero & ~mask) === 0, 'what was asked for');
  }
  if (point !== null) await target.chunk(0, point);
}

const toPrimary: Target = {
  name: 'peer-answers',
  kind: 'bytes',
  inputBytesMax: INPUT_BYTES_MAX,
  onceBytesMax: 8 * MIB,
  totalBytesMax: 64 * MIB,
  seeds: () => ANSWERED,
  mend: mendMessages,
  open: () => ({
    run: async (input) => {
      const [near, far] = memoryStreamPair({ names: ['b:1', 'b:1'] });
      const clock = new FakeClock({ autoAdvance: true });
      const fed = answerEach(far, input);
      let session: Session | null = null;
      try {
        // The nonce of the recorded WELCOME follows from the same seed.
        const machinery = { clock, random: seededRandom(8) };
        session = await greet(near, factsOfNode('a', null), machinery);
        await questions(session);
        return 'accepted';
      } catch (error) {
        if (error instanceof HastError) return 'refused';
        throw error;
      } finally {
        await session?.close();
        near.destroy('the test is over');
        await fed;
      }
    },
    close: () => {},
  }),
};

export const SESSION_TARGETS: readonly Target[] = [toReplica, toPrimary];
