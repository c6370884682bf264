// How long a round outlives its sessions: as long as something comes through, or for keepMs without
// a session; never for ever, and not after it was closed or given up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { hex } from '../../src/base/random.js';
import { FRUITLESS_MAX } from '../../src/target/line.js';
import { TargetError } from '../../src/target/target.js';
import { FakeClock } from '../world/fake-clock.js';
import { lost, putAll, refused, turns } from './calls.js';
import { KEEP_MS, lostError, resumingWorld, STALL_MS } from './resuming-world.js';

test('sessions that end before a frame is through: not for ever', async (t) => {
  const world = await resumingWorld(t, { connected: (link) => link.cutAfter({ up: 1000 }) });
  const { target } = world;
  const { begin, frames } = world.round(2);
  await target.begin(begin);
  await assert.rejects(putAll(target, frames), lost(/cut/));
  assert.equal(target.reconnects, FRUITLESS_MAX);
  await assert.rejects(target.staged(1), lost());
});

test('sessions of one frame each carry a round of many', async (t) => {
  const world = await resumingWorld(t, { connected: (link) => link.cutAfter({ up: 3600 }) });
  const { target } = world;
  const { begin, frames, commit } = world.round(40);
  await target.begin(begin);
  await putAll(target, frames);
  await target.staged(40);
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
  assert.ok(target.reconnects >= 39);
  assert.equal(target.resentBytes, world.resent(frames));
});

test('sessions on which no acknowledgement arrives carry a round of many', async (t) => {
  // A BEGUN has 52 bytes, a STAGED as many.
  const world = await resumingWorld(t, { connected: (link) => link.cutAfter({ down: 60 }) });
  const { target } = world;
  const { begin, frames, commit } = world.round(30);
  await target.begin(begin);
  await putAll(target, frames);
  await target.staged(30);
  for (const link of world.links) link.cutAfter({});
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
  assert.ok(target.reconnects > FRUITLESS_MAX);
  assert.equal(target.resentBytes, world.resent(frames));
});

test('after keepMs the error is the first one, and dialling has backed off', async (t) => {
  const world = await resumingWorld(t, {
    dialling: () => Promise.reject(lostError('connection refused')),
  });
  const { target, clock, dials } = world;
  const { begin, frames } = world.round(1);
  await target.begin(begin);
  world.cut();
  const fromMs = clock.monotonicMs();
  const waiting = [target.staged(1), target.digests(0, 1, 'table'), putAll(target, frames)];
  for (const one of waiting) await assert.rejects(one, lost(/pulled the cable/));
  const tookMs = clock.monotonicMs() - fromMs;
  assert.ok(tookMs >= KEEP_MS && tookMs < KEEP_MS + 1000, `${tookMs} ms`);
  const delays = dials.map(({ atMs }, at) => atMs - (dials[at - 1]?.atMs ?? fromMs));
  for (const delay of delays.slice(0, -1)) assert.ok(delay >= 250 && delay <= 5000, `${delay} ms`);
  assert.ok((delays[0] ?? 0) <= 500);
  assert.ok(delays.length > 4 && Math.max(...delays) > 1000);
  assert.ok(dials.every(({ round }) => round === hex(begin.round)));
  assert.deepEqual(world.warnings.length, 1, 'logged once');
  for (const call of [() => target.begin(begin), () => target.applied(begin.to)]) {
    await assert.rejects(call(), lost(/pulled the cable/));
  }
});

test('a final error of dialling is the error', async (t) => {
  const diverged = new TargetError({
    code: 'TARGET_REFUSED',
    target: 'b',
    reason: 'wrong-from',
    text: 'it was promoted',
  });
  const world = await resumingWorld(t, { dialling: () => Promise.reject(diverged) });
  await world.target.begin(world.round(1).begin);
  world.cut();
  await assert.rejects(world.target.staged(1), refused('wrong-from', /promoted/));
  assert.equal(world.dials.length, 1);
});

test('without a round a lost session is lost', async (t) => {
  const world = await resumingWorld(t);
  world.cut();
  const { begin, commit } = world.round(1);
  await assert.rejects(world.target.outcome(begin.round), lost(/pulled the cable/));
  await assert.rejects(world.target.digests(0, 1, 'table'), lost());
  await assert.rejects(world.target.commit(commit), lost());
  assert.equal(world.dials.length, 0);
});

test('a peer that answers pings and takes nothing loses its session, not the round', async (t) => {
  const clock = new FakeClock();
  const world = await resumingWorld(t, { clock });
  const { target, fake } = world;
  const { begin, frames, commit } = world.round(3);
  await target.begin(begin);
  const release = fake.hold('put');
  const staged = target.staged(3);
  await putAll(target, frames);
  for (let ms = 0; ms < 1.25 * STALL_MS; ms += 5000) {
    assert.deepEqual(world.warnings, []);
    await clock.advance(5000);
  }
  release();
  for (let ms = 0; ms < STALL_MS / 2; ms += 500) await clock.advance(500);
  assert.equal(await staged, 3);
  assert.deepEqual(
    world.warnings.map((line) => line.split(';')[0]),
    ['the target takes nothing', 'the session with the target was lost'],
  );
  assert.equal(target.reconnects, 1);
  assert.deepEqual(await target.commit(commit), { outcome: 'committed' });
});

test('a peer that never takes anything does not hold a round for ever', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const { begin, frames } = world.round(2);
  fake.holdStaging = true;
  await target.begin(begin);
  await putAll(target, frames);
  await assert.rejects(target.staged(1), lost(/took nothing for 60 seconds/));
  assert.equal(target.reconnects, FRUITLESS_MAX);
});

test('slow is not stalled: bytes that leave, or frames acknowledged, are enough', async (t) => {
  const clock = new FakeClock();
  const world = await resumingWorld(t, { clock });
  const { target, fake } = world;
  const { begin, frames } = world.round(8);
  fake.holdStaging = true;
  await target.begin(begin);
  for (const [at, frame] of frames.entries()) {
    await target.put(at, frame);
    for (let ms = 0; ms < 0.7 * STALL_MS; ms += 5000) await clock.advance(5000);
  }
  for (let at = 1; at <= 8; at += 1) {
    fake.stage(at);
    for (let ms = 0; ms < 0.7 * STALL_MS; ms += 5000) await clock.advance(5000);
  }
  assert.deepEqual(world.warnings, []);
});

test('a commit and an apply may take as long as they like (H25)', async (t) => {
  const clock = new FakeClock();
  const world = await resumingWorld(t, { clock });
  const { target, fake } = world;
  const { begin, frames, commit } = world.round(1);
  fake.holdStaging = true;
  await target.begin(begin);
  await putAll(target, frames);
  const release = fake.hold('commit');
  const committing = target.commit(commit);
  for (let at = 0; at < 100; at += 1) await clock.advance(5000);
  release();
  assert.deepEqual(await committing, { outcome: 'committed' });
  const apply = fake.hold('applied');
  const applied = target.applied(commit.to);
  for (let at = 0; at < 100; at += 1) await clock.advance(5000);
  apply();
  await applied;
  assert.deepEqual(world.warnings, []);
});

test('closed while it is replaced: everything waiting ends, no session is left', async (t) => {
  let open = (): void => {};
  const gate = new Promise<void>((go) => {
    open = go;
  });
  const world = await resumingWorld(t, { dialling: () => gate });
  const { target } = world;
  const { begin, frames } = world.round(1);
  await target.begin(begin);
  world.cut();
  const waiting = [target.staged(1), target.digests(0, 1, 'table'), putAll(target, frames)].map(
    (one) => assert.rejects(one, lost(/ended here/)),
  );
  await turns(20);
  const closing = target.close();
  await turns(20);
  open();
  await closing;
  await Promise.all(waiting);
  await turns(20);
  for (const link of world.links) await assert.rejects(link.write([new Uint8Array(1)]));
  await assert.rejects(target.begin(begin), lost(/ended here/));
});

test('closed while the round is begun again: nobody waits for the answer', async (t) => {
  const world = await resumingWorld(t, { clock: new FakeClock() });
  const { target, fake, clock } = world;
  await target.begin(world.round(1).begin);
  const release = fake.hold('begin');
  world.cut();
  const waiting = assert.rejects(target.staged(1), lost(/ended here/));
  await clock.advance(1000);
  assert.deepEqual(fake.calls, ['begin at 0', 'begin at 0']);
  await target.close();
  await waiting;
  assert.equal(target.reconnects, 0);
  release();
});

test('given up while it is replaced: nobody dials any more', async (t) => {
  const world = await resumingWorld(t, {
    dialling: () => Promise.reject(lostError('connection refused')),
  });
  const { target, clock } = world;
  const { begin } = world.round(1);
  await target.begin(begin);
  world.cut();
  const waiting = assert.rejects(target.staged(1), lost(/given up/));
  await turns(30);
  await target.abandon(begin.round);
  await waiting;
  await turns(30);
  const before = world.dials.length;
  await clock.sleep(60_000);
  assert.equal(world.dials.length, before);
});

test('a target that cannot is asked again, but not for ever', async (t) => {
  const world = await resumingWorld(t);
  const { target, fake } = world;
  const { begin, frames } = world.round(1);
  await target.begin(begin);
  fake.put = () => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }));
  await putAll(target, frames);
  await assert.rejects(target.staged(1), (error) => {
    assert.match(String(error), /ENOSPC/);
    return codeOf(error) === 'TARGET_LOST';
  });
  assert.equal(target.reconnects, FRUITLESS_MAX);
});
