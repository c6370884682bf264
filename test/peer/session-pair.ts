// Two sessions with each other over a stream in memory, on a fake clock, past the greeting.
import { codeOf } from '../../src/base/errors.js';
import type { ByteStream } from '../../src/net/stream.js';
import type { PeerFacts } from '../../src/peer/messages.js';
import { MessageReader } from '../../src/peer/reader.js';
import { type Handler, Session } from '../../src/peer/session.js';
import { memoryStreamPair } from '../net/memory-stream.js';
import { FakeClock } from '../world/fake-clock.js';
import { factsOf } from './material.js';

export const ignore: Handler = () => {};

export interface End {
  readonly session: Session;
  readonly stream: ByteStream;
}

function endOf(stream: ByteStream, clock: FakeClock, mine: PeerFacts, theirs: PeerFacts): End {
  const reader = new MessageReader(stream, () => session.heard());
  const facts = { number: 5, mine, theirs, features: 0 };
  const session: Session = new Session(facts, stream, reader, clock);
  return { session, stream };
}

export interface PairOptions {
  readonly a?: Partial<PeerFacts>;
  readonly b?: Partial<PeerFacts>;
  readonly capacityBytes?: number;
}

export function pair(clock = new FakeClock(), options: PairOptions = {}) {
  const { capacityBytes = 65_536 } = options;
  const [near, far] = memoryStreamPair({ names: ['a:1', 'b:2'], capacityBytes });
  const [factsA, factsB] = [factsOf('a', options.a ?? {}), factsOf('b', options.b ?? {})];
  return { a: endOf(near, clock, factsA, factsB), b: endOf(far, clock, factsB, factsA), clock };
}

export const coded = (code: string) => (error: unknown) => codeOf(error) === code;
