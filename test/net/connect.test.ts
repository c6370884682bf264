// Dialling and listening on loopback: keys, names, plain and TLS on one port, silence, limits.
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.js';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { deferred } from '../../src/base/sync.js';
import { type DialOptions, type DialSecurity, dialPeer } from '../../src/net/connect.js';
import { mayPass, NetError } from '../../src/net/faults.js';
import { HALF_OPEN_CONNECTIONS_MAX, listenForPeers } from '../../src/net/listen.js';
import type { ByteStream } from '../../src/net/stream.js';
import { FakeClock } from '../world/fake-clock.js';
import { doorman, SECRET } from './pairs.js';

const psk = (resource = 'vm1', secret = SECRET): DialSecurity => ({
  kind: 'psk',
  resource,
  secret,
});

const options = (port: number, security: DialSecurity, more: Partial<DialOptions> = {}) => ({
  remote: `tcp://127.0.0.1:${port}`,
  source: null,
  timeoutMs: 5000,
  security,
  ...more,
});

async function dial(t: TestContext, dialled: DialOptions): Promise<ByteStream> {
  const stream = await dialPeer(dialled, { clock: systemClock });
  t.after(() => stream.destroy('the test is over'));
  return stream;
}

const refusedWith = (code: string, text: RegExp) => (error: unknown) => {
  assert.equal(codeOf(error), code, String(error));
  assert.match(String(error), text);
  return true;
};

/** A server of the world: whatever it does, it is not hastd. */
async function stranger(t: TestContext, talk: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    talk(socket);
  });
  await new Promise<void>((go) => server.listen(0, '127.0.0.1', go));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  return address.port;
}

test('a shared secret opens a TLS 1.3 connection that names its resource', async (t) => {
  const { listener, next, refused } = await doorman(t);
  const near = await dial(t, options(listener.port, psk()));
  const { stream: far, identity } = await next();
  assert.equal(identity, 'vm1');
  await near.write([Buffer.from('hello')]);
  assert.equal(Buffer.from((await far.read()) ?? []).toString(), 'hello');
  assert.deepEqual(refused, []);
});

test('plain and TLS share a port; the plain one has no identity', async (t) => {
  const { listener, next } = await doorman(t);
  const near = await dial(t, options(listener.port, { kind: 'plain' }));
  await near.write([Buffer.from('plain words')]);
  const { stream: far, identity } = await next();
  assert.equal(identity, null);
  await near.end();
  let text = '';
  for (let piece = await far.read(); piece; piece = await far.read()) text += Buffer.from(piece);
  assert.equal(text, 'plain words', 'the byte that was looked at is not lost');
});

test('a wrong key is answered as such on both sides', async (t) => {
  const { listener, refused } = await doorman(t);
  const other = seededRandom(99).bytes(32);
  await assert.rejects(
    dial(t, options(listener.port, psk('vm1', other))),
    refusedWith('PEER_WRONG_KEY', /resource vm1: the secret here and there differ/),
  );
  await pause(20);
  assert.equal(refused.length, 1);
  refusedWith('PEER_WRONG_KEY', /resource vm1: the secret here and there differ/)(refused[0]);
  assert.equal(mayPass(new NetError({ code: 'PEER_WRONG_KEY', address: '', resource: '' })), false);
});

test('a resource without a secret there is answered as unknown, on both sides', async (t) => {
  const { listener, refused } = await doorman(t);
  await assert.rejects(
    dial(t, options(listener.port, psk('vm9'))),
    refusedWith('PEER_UNKNOWN_RESOURCE', /resource vm9: there it has another name/),
  );
  await pause(20);
  refusedWith('PEER_UNKNOWN_RESOURCE', /vm9/)(refused[0]);
});

test('each resource has its own key', async (t) => {
  const keys = seededRandom(5);
  const secrets = new Map([
    ['vm1', keys.bytes(32)],
    ['vm2', keys.bytes(32)],
  ]);
  const { listener, next } = await doorman(t, { secrets });
  for (const [resource, secret] of secrets) {
    await dial(t, options(listener.port, psk(resource, secret)));
    assert.equal((await next()).identity, resource);
  }
  const wrong = secrets.get('vm2');
  await assert.rejects(
    dial(t, options(listener.port, psk('vm1', wrong))),
    refusedWith('PEER_WRONG_KEY', /vm1/),
  );
});

test('nobody there: unreachable, and may pass by itself', async (t) => {
  const port = await stranger(t, () => {});
  const free = await new Promise<number>((go) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => go(address && typeof address === 'object' ? address.port : 0));
    });
  });
  assert.notEqual(free, port);
  await assert.rejects(dial(t, options(free, psk())), (error) => {
    refusedWith('PEER_UNREACHABLE', /cannot reach 127.0.0.1:\d+: ECONNREFUSED \(is hastd/)(error);
    return error instanceof NetError && mayPass(error);
  });
});

test('an unknown host name is unreachable', async (t) => {
  const dialled = { ...options(1, psk()), remote: 'tcp://no-such-host.invalid:1' };
  await assert.rejects(dial(t, dialled), (error) => {
    assert.ok(['PEER_UNREACHABLE', 'PEER_TIMEOUT'].includes(codeOf(error) ?? ''));
    return true;
  });
});

test('a server that does not speak TLS is told from a wrong key', async (t) => {
  const port = await stranger(t, (socket) => socket.end('220 mail ready\r\n'));
  await assert.rejects(dial(t, options(port, psk())), refusedWith('PEER_NOT_TLS', /not hastd/));
});

test('a server that hangs up is a closed connection', async (t) => {
  const port = await stranger(t, (socket) => socket.end());
  await assert.rejects(dial(t, options(port, psk())), refusedWith('PEER_CLOSED', /agreeing/));
});

test('a server that says nothing is given up after the timeout', async (t) => {
  const connected = deferred<void>();
  const port = await stranger(t, () => connected.resolve());
  const clock = new FakeClock();
  const dialled = { ...options(port, psk()), timeoutMs: 20_000 };
  const failed = assert.rejects(
    dialPeer(dialled, { clock }),
    refusedWith('PEER_TIMEOUT', /nothing came for 20 seconds while agreeing on a key/),
  );
  await connected.promise;
  await pause(20);
  await clock.advance(20_000);
  await failed;
  assert.equal(clock.sleeping, 0);
});

test('dialling can be given up', async (t) => {
  const port = await stranger(t, () => {});
  const stop = new AbortController();
  const clock = new FakeClock();
  const dialled = dialPeer(options(port, psk()), { clock, signal: stop.signal });
  stop.abort();
  await assert.rejects(dialled, refusedWith('PEER_ABORTED', /on request/));
  assert.equal(clock.sleeping, 0, 'no timer is left');
  await assert.rejects(
    dialPeer(options(port, psk()), { clock, signal: stop.signal }),
    refusedWith('PEER_ABORTED', /on request/),
  );
});

test('source is the address dialled from', async (t) => {
  const { listener, next } = await doorman(t);
  await dial(t, options(listener.port, psk(), { source: 'tcp://127.0.0.9' }));
  assert.match((await next()).stream.remote, /^127\.0\.0\.9:\d+$/);
});

test('an address that is taken cannot be listened on', async (t) => {
  const { listener } = await doorman(t);
  const machinery = { secretOf: () => null, connected: async () => {}, refused: () => {} };
  await assert.rejects(
    listenForPeers({ address: `tcp://127.0.0.1:${listener.port}` }, machinery),
    refusedWith('LISTEN_FAILED', /EADDRINUSE/),
  );
});

test('a caller that says nothing is dropped after the handshake time', async (t) => {
  const { listener, refused } = await doorman(t, { handshakeTimeoutMs: 100 });
  for (const first of [[], [0x16]]) {
    const socket = connect(listener.port, '127.0.0.1');
    socket.on('error', () => {});
    if (first.length > 0) socket.write(Uint8Array.from(first));
    await new Promise((go) => socket.on('close', go).resume());
  }
  assert.equal(refused.length, 2);
  refusedWith('PEER_TIMEOUT', /first byte/)(refused[0]);
  refusedWith('PEER_TIMEOUT', /agreeing on a key/)(refused[1]);
});

test('garbage in place of TLS is refused and harms nobody', async (t) => {
  const { listener, refused, next } = await doorman(t);
  const socket = connect(listener.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(Buffer.concat([Buffer.from([0x16, 3, 1, 1, 0]), seededRandom(1).bytes(256)]));
  await new Promise((go) => socket.on('close', go).resume());
  assert.equal(codeOf(refused[0]), 'PEER_NOT_TLS');
  await dial(t, options(listener.port, psk()));
  assert.equal((await next()).identity, 'vm1');
});

test('connections that have not said who they are have a limit', async (t) => {
  const greeted = deferred<void>();
  const { listener, next, refused } = await doorman(t, { greeted: greeted.promise });
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  const strange = (): Socket => {
    const socket = connect(listener.port, '127.0.0.1');
    socket.on('error', () => {});
    sockets.push(socket);
    return socket;
  };
  for (let at = 0; at < HALF_OPEN_CONNECTIONS_MAX; at += 1) {
    const socket = strange();
    if (at % 2 === 0) socket.write('x'); // said something, not who: still counts
    await new Promise((go) => socket.on('connect', go));
  }
  await new Promise((go) => strange().on('close', go).resume());
  assert.equal(codeOf(refused.at(-1)), 'PEER_TOO_MANY');
  greeted.resolve();
  await next();
  await pause(20);
  await dial(t, options(listener.port, psk()));
});

test('closing the listener drops half-open connections and keeps the others', async (t) => {
  const { listener, next } = await doorman(t);
  const near = await dial(t, options(listener.port, psk()));
  const { stream: far } = await next();
  const idle = connect(listener.port, '127.0.0.1');
  idle.on('error', () => {});
  await new Promise((go) => idle.on('connect', go));
  const dropped = new Promise((go) => idle.on('close', go).resume());
  await pause(20);
  const closing = listener.close();
  await dropped;
  await near.write([Buffer.from('still here')]);
  assert.equal(Buffer.from((await far.read()) ?? []).toString(), 'still here');
  near.destroy('done');
  far.destroy('done');
  await closing;
});
