// A disk that answers nothing is told of after ten seconds, once, and once more when it answers;
// its neighbours are not.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Log, silentLog } from '../../src/base/log.js';
import { type Deferred, deferred } from '../../src/base/sync.js';
import { HANGS_AFTER_MS, HangWatch, PING_EVERY_MS } from '../../src/daemon/hang-watch.js';
import { FakeClock } from '../world/fake-clock.js';

/** A thread that answers, or hangs until it is let go. */
class Thread {
  stuck: Deferred<void> | null = null;
  pings = 0;
  readonly ping = (): Promise<void> => {
    this.pings += 1;
    return this.stuck?.promise ?? Promise.resolve();
  };
  hang(): void {
    this.stuck = deferred();
  }
  free(): void {
    this.stuck?.resolve();
    this.stuck = null;
  }
}

function world(t: TestContext) {
  const clock = new FakeClock();
  const said: string[] = [];
  const say = (sentence: string, fields?: Readonly<Record<string, unknown>>) =>
    void said.push(`${sentence} ${fields?.['device']} ${fields?.['seconds']}`);
  const log: Log = { ...silentLog, warn: say, error: say };
  const watch = new HangWatch({ clock, log });
  t.after(async () => {
    const stopping = watch.stop();
    await clock.advance(PING_EVERY_MS);
    await stopping;
  });
  return { clock, said, watch };
}

test('threads that answer are asked again and again, and nothing is said', async (t) => {
  const { clock, said, watch } = world(t);
  const thread = new Thread();
  watch.watch('8', thread.ping);
  await clock.advance(10 * PING_EVERY_MS);
  assert.ok(thread.pings >= 10, `${thread.pings} pings`);
  assert.equal(watch.sinceMs('8'), null);
  assert.deepEqual(said, []);
});

test('a hang is said once, with its beginning, and its end once', async (t) => {
  const { clock, said, watch } = world(t);
  const [one, other, neighbour] = [new Thread(), new Thread(), new Thread()];
  watch.watch('8', one.ping);
  watch.watch('8', other.ping);
  watch.watch('9', neighbour.ping);
  one.hang();
  other.hang();
  await clock.advance(PING_EVERY_MS);
  const askedMs = clock.wallMs();
  await clock.advance(HANGS_AFTER_MS - 1);
  assert.equal(watch.sinceMs('8'), null, 'not before ten seconds');
  await clock.advance(1);
  assert.equal(watch.sinceMs('8'), askedMs);
  assert.equal(watch.sinceMs('9'), null);
  const pings = one.pings;
  await clock.advance(10 * HANGS_AFTER_MS);
  assert.equal(one.pings, pings, 'one question is open at a time');
  assert.deepEqual(said, ['a disk answers nothing 8 10']);

  one.free();
  await clock.advance(0);
  assert.equal(watch.sinceMs('8'), askedMs, 'its other thread still hangs');
  other.free();
  await clock.advance(0);
  assert.equal(watch.sinceMs('8'), null);
  assert.deepEqual(said, ['a disk answers nothing 8 10', 'a disk answers again 8 110']);
});

test('a second hang is said again', async (t) => {
  const { clock, said, watch } = world(t);
  const thread = new Thread();
  watch.watch('8', thread.ping);
  for (let time = 0; time < 2; time += 1) {
    thread.hang();
    await clock.advance(PING_EVERY_MS + HANGS_AFTER_MS);
    assert.notEqual(watch.sinceMs('8'), null);
    thread.free();
    await clock.advance(0);
    assert.equal(watch.sinceMs('8'), null);
  }
  assert.equal(said.length, 4);
});
