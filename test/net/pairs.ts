// Pairs of connected streams for contract suites: in memory, over loopback TCP, over loopback TLS.
// Everything is closed after the test.
import type { TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import type { HastError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { dialPeer } from '../../src/net/connect.js';
import { type Incoming, listenForPeers, type PeerListener } from '../../src/net/listen.js';
import { Pace, paced } from '../../src/net/pace.js';
import type { ByteStream } from '../../src/net/stream.js';
import { memoryStreamPair } from './memory-stream.js';

export const SECRET = seededRandom(11).bytes(32);

export interface Pair {
  readonly near: ByteStream;
  readonly far: ByteStream;
}

export type MakePair = (t: TestContext) => Promise<Pair>;

export const memoryPair: MakePair = async () => {
  const [near, far] = memoryStreamPair();
  return { near, far };
};

/** A listener that collects what comes; `next` waits for the next connection. */
export interface Doorman {
  readonly listener: PeerListener;
  readonly refused: HastError[];
  next(): Promise<Incoming>;
}

export interface DoormanOptions {
  readonly handshakeTimeoutMs?: number;
  /** How long a connection counts as half open. */
  readonly greeted?: Promise<void>;
  readonly secrets?: ReadonlyMap<string, Uint8Array>;
}

export async function doorman(t: TestContext, options: DoormanOptions = {}): Promise<Doorman> {
  const { handshakeTimeoutMs } = options;
  const secrets = options.secrets ?? new Map([['vm1', SECRET]]);
  const arrived: Incoming[] = [];
  const waiting: ((incoming: Incoming) => void)[] = [];
  const refused: HastError[] = [];
  const listener = await listenForPeers(
    {
      address: 'tcp://127.0.0.1:0',
      ...(handshakeTimeoutMs === undefined ? {} : { handshakeTimeoutMs }),
    },
    {
      secretOf: (resource) => secrets.get(resource) ?? null,
      connected: async (incoming) => {
        t.after(() => incoming.stream.destroy('the test is over'));
        const waiter = waiting.shift();
        if (waiter) waiter(incoming);
        else arrived.push(incoming);
        await options.greeted;
      },
      refused: (error) => refused.push(error),
    },
  );
  t.after(() => listener.close());
  const next = (): Promise<Incoming> => {
    const ready = arrived.shift();
    return ready ? Promise.resolve(ready) : new Promise((go) => waiting.push(go));
  };
  return { listener, refused, next };
}

const loopback =
  (secure: boolean): MakePair =>
  async (t) => {
    const { listener, next } = await doorman(t);
    const near = await dialPeer(
      {
        remote: `tcp://127.0.0.1:${listener.port}`,
        source: null,
        timeoutMs: 5000,
        security: secure ? { kind: 'psk', resource: 'vm1', secret: SECRET } : { kind: 'plain' },
      },
      { clock: systemClock },
    );
    t.after(() => near.destroy('the test is over'));
    // Over plain TCP the listener waits for a first byte; the pair has been agreed on that.
    if (!secure) await near.write([Buffer.from('!')]);
    const { stream: far } = await next();
    if (!secure) await far.read();
    return { near, far };
  };

export const tcpPair = loopback(false);
export const tlsPair = loopback(true);

/** A pair whose ends keep to a rate each, in bits a second. */
export const pacedPair =
  (make: MakePair, rate: number | null): MakePair =>
  async (t) => {
    const { near, far } = await make(t);
    const pace = () => new Pace(() => rate, systemClock);
    return { near: paced(near, pace()), far: paced(far, pace()) };
  };
