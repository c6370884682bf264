// Who joins an attempt to reach a target, and when there is another one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import { silentLog } from '../../src/base/log.js';
import { seededRandom } from '../../src/base/random.js';
import { TargetLink } from '../../src/daemon/target-link.js';
import type { RoundParts } from '../../src/round/parts.js';

/** No attempt ends before `fail` says how. */
function dialling() {
  const failures: ((why: string) => void)[] = [];
  const link = new TargetLink(
    { target: 'b', remote: 'tcp://b', source: null, timeoutMs: 1000 },
    {
      open: () =>
        new Promise((_, reject) => failures.push((why) => reject(new TypeError(`no: ${why}`)))),
      clock: systemClock,
      random: seededRandom(1),
      log: silentLog,
      round: {} as RoundParts,
    },
  );
  const fail = (attempt: number, why: string): void => failures[attempt]?.(why);
  return { link, fail, attempts: () => failures.length };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test('an attempt that began before fails: who asked since gets another, together', async () => {
  const { link, fail, attempts } = dialling();
  const first = link.get();
  await settle();
  const others = [link.get(), link.get()];
  assert.equal(attempts(), 1, 'it is joined');
  fail(0, 'the old key');
  await assert.rejects(first, /the old key/);
  await settle();
  assert.equal(attempts(), 2);
  fail(1, 'the cable');
  for (const other of others) await assert.rejects(other, /the cable/);
  assert.equal(attempts(), 2);
});

test('a link that is closed dials no more', async () => {
  const { link, fail, attempts } = dialling();
  const first = link.get();
  await settle();
  const other = link.get();
  const closed = link.close();
  fail(0, 'it ends');
  await assert.rejects(first, /it ends/);
  await assert.rejects(other, /it ends/);
  await closed;
  assert.equal(attempts(), 1);
});
