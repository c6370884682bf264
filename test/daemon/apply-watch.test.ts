// What is known of a committed point on its way into the target's disk: nothing, until the target
// has said so; over lost links, restarts and answers that nobody waited for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { type Deferred, deferred } from '../../src/base/sync.js';
import { ApplyWatch } from '../../src/daemon/apply-watch.js';
import type { Linked } from '../../src/daemon/target-link.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { type Target, TargetError } from '../../src/target/target.js';
import { pointOf } from '../peer/material.js';
import { FakeClock } from '../world/fake-clock.js';

const lost = () => new TargetError({ code: 'TARGET_LOST', target: 'b', text: 'gone' });
const refused = () =>
  new TargetError({ code: 'TARGET_REFUSED', target: 'b', reason: 'apply-failed', text: 'ENOSPC' });

/** A session that answers when the test says so. */
class FakeSession {
  readonly asked: { readonly point: PointRef; readonly answer: Deferred<void> }[] = [];

  applied(point: PointRef): Promise<void> {
    const answer = deferred<void>();
    this.asked.push({ point, answer });
    return answer.promise;
  }
}

/** A watch of a target that stands at `point` and has no session yet. */
function watched(point: PointRef | null) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const told: unknown[] = [];
  const at = { point, session: null as FakeSession | null };
  const get = async (): Promise<Linked> => {
    if (at.session === null) throw lost();
    return { target: at.session as unknown as Target, contact: 'ready' };
  };
  const link = {
    get,
    again: async () => (await get()).target,
    get current() {
      return at.session as unknown as Target | null;
    },
  };
  const parts = {
    link,
    point: () => at.point,
    clock,
    refused: (error: unknown) => told.push(error),
  };
  const watch = new ApplyWatch(parts);
  const asking = watch.keepAsking(stop.signal);
  const close = async () => {
    stop.abort();
    await asking;
    assert.equal(clock.sleeping, 0);
  };
  return { watch, at, told, clock, close };
}

test('the link is lost under an apply that then fails: it is owed, and told once', async () => {
  const { watch, at, told, clock, close } = watched(null);
  const first = new FakeSession();
  at.session = first;
  at.point = pointOf(5);
  const waiting = watch.watch(pointOf(5));
  await clock.advance(60_000);
  assert.equal(first.asked.length, 1, 'whoever waits asks for all');
  at.session = null;
  first.asked[0]?.answer.reject(lost());
  await assert.rejects(waiting, (error) => codeOf(error) === 'TARGET_LOST');
  await clock.advance(600_000);
  assert.deepEqual([watch.owed?.number, watch.failed, told.length], [5, false, 0], 'not known');
  const second = new FakeSession();
  at.session = second;
  await clock.advance(1000);
  second.asked[0]?.answer.reject(refused());
  await clock.advance(600_000);
  assert.equal(second.asked.length, 1, 'a session is asked once');
  assert.deepEqual([watch.owed?.number, watch.failed, told.length], [5, true, 1]);
  const third = new FakeSession();
  at.session = third;
  await clock.advance(1000);
  third.asked[0]?.answer.resolve();
  await clock.advance(0);
  assert.deepEqual([watch.owed, watch.failed, told.length], [null, false, 1]);
  await close();
});

test('from the start of the role on a point is owed, until the first session knows', async () => {
  const { watch, at, clock, close } = watched(pointOf(3));
  await clock.advance(600_000);
  assert.equal(watch.owed?.number, 3);
  const session = new FakeSession();
  at.session = session;
  await clock.advance(1000);
  await clock.advance(600_000);
  assert.equal(watch.owed?.number, 3, 'it is being applied there');
  session.asked[0]?.answer.resolve();
  await clock.advance(0);
  assert.equal(watch.owed, null);
  at.session = new FakeSession();
  await clock.advance(60_000);
  assert.equal(at.session.asked.length, 0, 'nothing is owed, nothing is asked');
  await close();
});

test('without a point nothing is owed; one that contact has found out of is', async () => {
  const { watch, at, clock, close } = watched(null);
  at.session = new FakeSession();
  await clock.advance(60_000);
  assert.deepEqual([watch.owed, at.session.asked.length], [null, 0]);
  // The answer to COMMIT was lost: the contact of the next session set the point (H23).
  const next = new FakeSession();
  at.session = next;
  at.point = pointOf(8);
  await clock.advance(1000);
  assert.equal(watch.owed?.number, 8);
  next.asked[0]?.answer.resolve();
  await clock.advance(0);
  assert.equal(watch.owed, null);
  await close();
});

test('the answer about an older point, however late, says nothing of the last one', async () => {
  const { watch, at, clock, close } = watched(pointOf(1));
  const session = new FakeSession();
  at.session = session;
  const older = [watch.watch(pointOf(1)), watch.watch(pointOf(1))];
  const newer = watch.watch(pointOf(2));
  await clock.advance(0);
  at.point = pointOf(2);
  session.asked[0]?.answer.resolve();
  await older[0];
  assert.equal(watch.owed?.number, 2);
  session.asked[2]?.answer.resolve();
  await newer;
  assert.equal(watch.owed, null);
  session.asked[1]?.answer.resolve();
  await older[1];
  assert.equal(watch.owed, null);
  await close();
});
