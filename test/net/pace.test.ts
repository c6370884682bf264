// Pace: no window of 10 s carries more than the rate and 5 %, whatever is written and whenever; who
// writes all the time gets at least 90 %. Time is a fake clock's; the last test is real, over TLS
// through a proxy that counts: the bound above, and that the bytes go on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { CountingProxy } from '../../bench/counting-proxy.js';
import { nextTurn, systemClock } from '../../src/base/clock.js';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { dialPeer } from '../../src/net/connect.js';
import { NetError } from '../../src/net/faults.js';
import { Pace, paced } from '../../src/net/pace.js';
import type { ByteStream } from '../../src/net/stream.js';
import { MessageReader } from '../../src/peer/reader.js';
import { Session } from '../../src/peer/session.js';
import { factsOf, idOf } from '../peer/material.js';
import { FakeClock } from '../world/fake-clock.js';
import { memoryStreamPair } from './memory-stream.js';
import { doorman, SECRET } from './pairs.js';

const seed = Number(process.env['HAST_SEED'] ?? 20_261_121);
const WINDOW_MS = 10_000;

/** What passed when. */
class Meter {
  readonly #marks: { atMs: number; total: number }[] = [];
  total = 0;

  add(atMs: number, bytes: number): void {
    this.total += bytes;
    this.#marks.push({ atMs, total: this.total });
  }

  /** The most and the least of any window that begins at or after `fromMs`, in bits a second. */
  extremes(fromMs: number, untilMs: number): { least: number; most: number } {
    const marks = this.#marks.filter((mark) => mark.atMs >= fromMs && mark.atMs <= untilMs);
    let [least, most] = [Number.POSITIVE_INFINITY, 0];
    let end = 0;
    for (const begin of marks) {
      while (end < marks.length && (marks[end]?.atMs ?? 0) <= begin.atMs + WINDOW_MS) end += 1;
      if (end === marks.length) break;
      const bytes = (marks[end - 1]?.total ?? 0) - begin.total;
      least = Math.min(least, (bytes * 8000) / WINDOW_MS);
      most = Math.max(most, (bytes * 8000) / WINDOW_MS);
    }
    assert.ok(most > 0, 'at least one whole window was seen');
    return { least, most };
  }

  check(rate: number, fromMs: number, untilMs: number, busy: boolean): void {
    const { least, most } = this.extremes(fromMs, untilMs);
    assert.ok(most <= rate * 1.05, `${most} bit/s in a window, the rate is ${rate}`);
    if (busy) assert.ok(least >= rate * 0.9, `${least} bit/s in a window, the rate is ${rate}`);
  }
}

/** A paced end whose bytes are swallowed and metered at the other one. */
function line(clock: FakeClock, pace: Pace, meter = new Meter()) {
  const [near, far] = memoryStreamPair();
  const swallowing = (async () => {
    for (let piece = await far.read(); piece; piece = await far.read()) {
      meter.add(clock.monotonicMs(), piece.length);
    }
  })().catch(() => {});
  return { stream: paced(near, pace), far, meter, swallowing };
}

async function writeForEver(stream: ByteStream, bytes: () => number): Promise<void> {
  try {
    for (;;) {
      await stream.write([new Uint8Array(16), new Uint8Array(bytes())]);
      await nextTurn(); // without a limit and a wire nothing else would ever run
    }
  } catch (error) {
    assert.equal(codeOf(error), 'PEER_CLOSED');
  }
}

for (const rate of [8_000, 256_000, 2_000_000, 20_000_000, 300_000_000]) {
  test(`frames of every size at ${rate} bit/s`, async (t) => {
    t.diagnostic(`HAST_SEED=${seed}`);
    const random = seededRandom(seed);
    const clock = new FakeClock();
    const { stream, meter } = line(clock, new Pace(() => rate, clock));
    const writing = writeForEver(stream, () => 1 + random.below(1024 * 1024));
    const untilMs = rate > 1e8 ? 21_000 : 60_000;
    for (let ms = 0; ms < untilMs; ms += 7) await clock.advance(7);
    meter.check(rate, 0, untilMs, true);
    stream.destroy('the test is over');
    await writing;
  });
}

test('idle times are not saved up', async () => {
  const rate = 2_000_000;
  const clock = new FakeClock();
  const { stream, meter } = line(clock, new Pace(() => rate, clock));
  for (let turn = 0; turn < 8; turn += 1) {
    await clock.advance(turn * 1000);
    const writing = stream.write([new Uint8Array(700_000)]);
    for (let ms = 0; ms < 4000; ms += 10) await clock.advance(10);
    await writing;
  }
  meter.check(rate, 0, 60_000, false);
});

test('after a stop, as of an event loop, 250 ms are caught up with and no more', async () => {
  const clock = new FakeClock();
  const pace = new Pace(() => 8_000_000, clock); // 1000 bytes a millisecond
  await clock.advance(60_000);
  const { signal } = new AbortController();
  let taken = 0;
  let turn = pace.turn(signal);
  for (; clock.sleeping === 0; turn = pace.turn(signal)) {
    const bytes = await turn;
    taken += bytes;
    pace.charge(bytes);
  }
  assert.ok(taken >= 250_000 && taken <= 300_000, `${taken} bytes at once`);
  await clock.advance(1000);
  assert.ok((await turn) <= 64 * 1024);
});

test('the rate is changed while a frame leaves: down, up, off, on', async () => {
  const clock = new FakeClock();
  let rate: number | null = 20_000_000;
  const { stream, meter } = line(clock, new Pace(() => rate, clock));
  const writing = writeForEver(stream, () => 1024 * 1024);
  const run = async (next: number | null, forMs: number): Promise<number> => {
    rate = next;
    const from = meter.total;
    for (let ms = 0; ms < forMs; ms += 10) await clock.advance(10);
    return meter.total - from;
  };
  await run(20_000_000, 5000);
  await run(256_000, 5000);
  const slowFromMs = clock.monotonicMs();
  await run(256_000, 15_000);
  meter.check(256_000, slowFromMs, clock.monotonicMs(), true);
  const fast = await run(20_000_000, 2000);
  assert.ok(fast > 4_500_000, `${fast} bytes in 2 s after the rate went up`);
  const free = await run(null, 100);
  assert.ok(free > 5_000_000, `${free} bytes in 100 ms without a limit`);
  await run(2_000_000, 5000);
  const fromMs = clock.monotonicMs();
  await run(2_000_000, 15_000);
  meter.check(2_000_000, fromMs, clock.monotonicMs(), true);
  stream.destroy('the test is over');
  await writing;
});

test('sessions that come and go share one pace', async () => {
  const rate = 2_000_000;
  const clock = new FakeClock();
  const pace = new Pace(() => rate, clock);
  const meter = new Meter();
  for (let turn = 0; turn < 40; turn += 1) {
    const { stream } = line(clock, pace, meter);
    const writing = writeForEver(stream, () => 300_000);
    for (let ms = 0; ms < 500; ms += 10) await clock.advance(10);
    stream.destroy('reconnecting');
    await writing;
  }
  meter.check(rate, 0, 20_000, false);
});

test('bytes that the stream sent by itself count', async () => {
  const clock = new FakeClock();
  const [near] = memoryStreamPair();
  await near.write([new Uint8Array(2000)]); // a handshake
  const stream = paced(near, new Pace(() => 8000, clock)); // 1 byte a millisecond
  let done = false;
  const writing = stream.write([new Uint8Array(1)]).then(() => {
    done = true;
  });
  await clock.advance(1900);
  assert.equal(done, false);
  await clock.advance(200);
  assert.equal(done, true);
  await writing;
});

test('a cut ends the waiting at once, at either end', async () => {
  for (const cutter of ['near', 'far'] as const) {
    const clock = new FakeClock();
    const { stream, far } = line(clock, new Pace(() => 8000, clock));
    const rejected = assert.rejects(stream.write([new Uint8Array(100_000)]), { name: 'NetError' });
    const late = assert.rejects(stream.write([Buffer.from('x')]), { name: 'NetError' });
    await clock.advance(3000);
    if (cutter === 'near') stream.destroy('pulled the cable');
    else far.destroy('pulled the cable');
    if (cutter === 'far') await clock.advance(2000);
    await Promise.all([rejected, late]);
    await clock.advance(1000);
    assert.equal(clock.sleeping, 0, 'nobody waits any more');
  }
});

test('a frame of 1 MiB at 256 kbit/s: neither side takes the other for dead', async () => {
  const clock = new FakeClock();
  const [near, far] = memoryStreamPair();
  const options = { timeoutMs: 20_000 };
  const [factsA, factsB] = [factsOf('a', options), factsOf('b', options)];
  const end = (stream: ByteStream, mine: typeof factsA, theirs: typeof factsA) => {
    const reader = new MessageReader(stream, () => session.heard());
    const session: Session = new Session(
      { number: 5, mine, theirs, features: 0 },
      stream,
      reader,
      clock,
    );
    return session;
  };
  const a = end(paced(near, new Pace(() => 256_000, clock)), factsA, factsB);
  const b = end(far, factsB, factsA);
  const came: number[] = [];
  a.start(() => {});
  b.start(({ message }) => {
    if (message.type === 'frame') came.push(clock.monotonicMs());
  });
  const sending = (async () => {
    for (let number = 0; number < 3; number += 1) {
      const bytes = new Uint8Array(1024 * 1024);
      await a.push({ type: 'frame', session: 5, round: idOf(1), number, bytes });
    }
  })();
  const ended: unknown[] = [];
  for (const session of [a, b]) void session.closed.then((reason) => ended.push(reason));
  for (let ms = 0; ms < 140_000; ms += 50) await clock.advance(50);
  assert.deepEqual(ended, []);
  await sending;
  assert.equal(came.length, 3);
  assert.ok((came[0] ?? 0) > 30_000 && (came[2] ?? 0) < 103_000, `frames came at ${came} ms`);
  const over = new NetError({ code: 'PEER_CLOSED', address: 'a', why: 'the test is over' });
  for (const session of [a, b]) session.destroy(over);
});

test('real time, TLS, a counting proxy: 20 Mbit/s, and 2 Mbit/s while it runs', async (t) => {
  const door = await doorman(t);
  const run = async (rateOf: () => number | null) => {
    const proxy = await CountingProxy.start(door.listener.port);
    t.after(() => proxy.close());
    const dialled = await dialPeer(
      {
        remote: `tcp://127.0.0.1:${proxy.port}`,
        source: null,
        timeoutMs: 5000,
        security: { kind: 'psk', resource: 'vm1', secret: SECRET },
      },
      { clock: systemClock },
    );
    const stream = paced(dialled, new Pace(rateOf, systemClock));
    const { stream: far } = await door.next();
    void (async () => {
      while (await far.read());
    })().catch(() => {});
    return { stream, proxy, meter: new Meter(), writing: writeForEver(stream, () => 1024 * 1024) };
  };
  let changing = 20_000_000;
  const lines = [await run(() => 20_000_000), await run(() => changing)];
  const startMs = performance.now();
  for (let nowMs = 0; nowMs < 18_500; nowMs = performance.now() - startMs) {
    if (nowMs >= 3000) changing = 2_000_000;
    for (const { proxy, meter } of lines) meter.add(nowMs, proxy.bytes.up - meter.total);
    await pause(20);
  }
  for (const { stream } of lines) stream.destroy('the test is over');
  await Promise.all(lines.map(({ writing }) => writing));
  // How much of the rate a busy machine uses is its own affair; that it is used, the fake clock
  // shows.
  lines[0]?.meter.check(20_000_000, 5000, 18_500, false);
  lines[1]?.meter.check(2_000_000, 8000, 18_500, false);
  for (const { meter } of lines) {
    const { least, most } = meter.extremes(8000, 18_500);
    assert.ok(least > most / 3, 'it went on all the time');
  }
  for (const { meter } of lines) t.diagnostic(JSON.stringify(meter.extremes(8000, 18_500)));
});
