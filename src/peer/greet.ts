// The greeting: who dials sends HELLO, who was dialled answers WELCOME or REFUSE, then the session
// begins. Either side may dial, whatever its role. Guarantee: a peer that is not wanted learns
// nothing but the reason; a peer that says nothing is dropped after GREETING_TIMEOUT_MS.
import { type Clock, within } from '../base/clock.js';
import { equalBytes } from '../base/digest.js';
import { describeError, HastError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { ID_BYTES } from '../base/units.js';
import { NetError } from '../net/faults.js';
import type { ByteStream } from '../net/stream.js';
import { judgeCaller, judgePeers, type LocalResource, type Proof, type Verdict } from './admit.js';
import { encodeMessage } from './encode.js';
import { PeerError, refusalText } from './faults.js';
import { CLOSE_TIMEOUT_MS, FEATURES, GREETING_TIMEOUT_MS, PROTOCOL_VERSION } from './limits.js';
import type { Greeting, Message, PeerFacts } from './messages.js';
import { MessageReader } from './reader.js';
import { Session } from './session.js';

export interface GreetMachinery {
  readonly clock: Clock;
  readonly random: Random;
}

/** What the side that was dialled knows. */
export interface Host {
  /** This node's name. */
  readonly node: string;
  /** The resource a caller asks for, null when there is none, or a verdict of the host's own
   * (busy, stopping, lineage). May take its time: an old session's writer has to end first. */
  find(theirs: PeerFacts, proof: Proof): Promise<LocalResource | Verdict | null>;
}

/** Dialled: greets and returns the session, not yet started. The stream is its own from now on.
 * Errors PEER_REFUSED, PEER_UNWANTED, PEER_PROTOCOL, PEER_VERSION, PEER_TIMEOUT, PEER_CLOSED. */
export async function greet(
  stream: ByteStream,
  mine: PeerFacts,
  { clock, random }: GreetMachinery,
): Promise<Session> {
  let session: Session | null = null;
  const reader = new MessageReader(stream, () => session?.heard());
  return guarded(stream, async () => {
    const nonce = random.bytes(ID_BYTES);
    await send(stream, { type: 'hello', features: FEATURES, nonce, facts: mine });
    const answer = await heard(stream, reader, clock, 'waiting for its WELCOME');
    if (answer.type === 'refuse') {
      const { refusal, text } = answer;
      throw new PeerError({ code: 'PEER_REFUSED', peer: stream.remote, refusal, text });
    }
    if (answer.type !== 'welcome') throw unexpected(stream, answer);
    if (!equalBytes(answer.nonce, nonce)) {
      const what = 'its WELCOME answers another HELLO';
      throw new PeerError({ code: 'PEER_PROTOCOL', peer: stream.remote, what });
    }
    const verdict = judgePeers(mine, answer.facts);
    if (verdict) throw await refuse(stream, clock, verdict);
    const features = answer.features & FEATURES;
    const facts = { number: answer.session, mine, theirs: answer.facts, features };
    session = new Session(facts, stream, reader, clock);
    return session;
  });
}

/** Was dialled: reads HELLO, judges, answers. Errors as `greet`; a caller that was refused is
 * PEER_UNWANTED here. */
export async function receiveGreeting(
  stream: ByteStream,
  proof: Proof,
  host: Host,
  { clock, random }: GreetMachinery,
): Promise<Session> {
  let session: Session | null = null;
  const reader = new MessageReader(stream, () => session?.heard());
  return guarded(stream, async () => {
    const hello = await heard(stream, reader, clock, 'waiting for its HELLO').catch(
      async (error: unknown) => {
        throw await answered(stream, clock, host.node, error);
      },
    );
    if (hello.type !== 'hello') throw unexpected(stream, hello);
    const theirs = hello.facts;
    const found = await host.find(theirs, proof);
    if (found !== null && 'refusal' in found) throw await refuse(stream, clock, found);
    const verdict = judgeCaller(host.node, found, theirs, proof);
    if (verdict || found === null) {
      const resource = theirs.resource;
      const text = refusalText('unknown-resource', { here: host.node, resource });
      throw await refuse(stream, clock, verdict ?? { refusal: 'unknown-resource', text });
    }
    const mine = found.facts;
    const number = 1 + random.below(2 ** 32 - 1);
    const features = hello.features & FEATURES;
    session = new Session({ number, mine, theirs, features }, stream, reader, clock);
    const { nonce } = hello;
    await send(stream, {
      type: 'welcome',
      features: FEATURES,
      nonce,
      session: number,
      facts: mine,
    });
    return session;
  });
}

const send = (stream: ByteStream, message: Greeting): Promise<void> =>
  stream.write(encodeMessage({ request: 0, message }));

async function heard(
  stream: ByteStream,
  reader: MessageReader,
  clock: Clock,
  doing: string,
): Promise<Message> {
  const result = await within(clock, GREETING_TIMEOUT_MS, reader.greeting());
  const address = stream.remote;
  if (result === 'timeout') {
    const seconds = GREETING_TIMEOUT_MS / 1000;
    throw new NetError({ code: 'PEER_TIMEOUT', address, seconds, doing });
  }
  if (result.value === null) {
    throw new NetError({ code: 'PEER_CLOSED', address, why: 'the other side ended it unanswered' });
  }
  return result.value.message;
}

/** Says no, and gives the error of this side. */
async function refuse(stream: ByteStream, clock: Clock, verdict: Verdict): Promise<HastError> {
  const { refusal, text } = verdict;
  const saying = send(stream, { type: 'refuse', refusal, text }).then(() => stream.end());
  await within(
    clock,
    CLOSE_TIMEOUT_MS,
    saying.catch(() => {}),
  );
  return new PeerError({ code: 'PEER_UNWANTED', peer: stream.remote, refusal, text });
}

/** A HELLO of another version is answered with a refusal that it can read. */
async function answered(
  stream: ByteStream,
  clock: Clock,
  here: string,
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof PeerError) || error.fault.code !== 'PEER_VERSION') return error;
  const facts = { here, resource: '', ours: String(PROTOCOL_VERSION) };
  await refuse(stream, clock, { refusal: 'version', text: refusalText('version', facts) });
  return error;
}

function unexpected(stream: ByteStream, message: Message) {
  const what = `${message.type} message in place of a greeting`;
  return new PeerError({ code: 'PEER_PROTOCOL', peer: stream.remote, what });
}

/** Whoever leaves with an error leaves no connection behind. */
async function guarded(stream: ByteStream, work: () => Promise<Session>): Promise<Session> {
  try {
    return await work();
  } catch (error) {
    stream.destroy(describeError(error));
    throw error instanceof HastError ? error : closedBy(stream, error);
  }
}

const closedBy = (stream: ByteStream, cause: unknown) =>
  new NetError(
    { code: 'PEER_CLOSED', address: stream.remote, why: describeError(cause) },
    { cause },
  );
