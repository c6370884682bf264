// Operations of a disk that never return keep the thread from giving its sign of life; what is only
// slow, or fails, does not. What is asked of the device reaches it unchanged.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Deferred, deferred } from '../../src/base/sync.js';
import { FLUSH_OVERDUE_MS, READ_OVERDUE_MS, watchDevice } from '../../src/daemon/watched-device.js';
import type { Device } from '../../src/disk/device.js';
import { FakeClock } from '../world/fake-clock.js';

/** A device that notes its calls and ends what waits when it is told to. */
function world() {
  const clock = new FakeClock();
  const calls: unknown[][] = [];
  const waiting: Deferred<void>[] = [];
  const inner = new Proxy({ path: '/disk', sizeBytes: 4096 } as unknown as Device, {
    get: (facts, name) => {
      if (name in facts) return Reflect.get(facts, name);
      return (...args: unknown[]) => {
        calls.push([name, ...args]);
        const wait = deferred<void>();
        waiting.push(wait);
        return ['read', 'readAside', 'readMedium', 'write', 'sync'].includes(String(name))
          ? wait.promise
          : 7;
      };
    },
  });
  const { device, answers } = watchDevice(inner, clock);
  const answered = async (): Promise<boolean> => {
    let done = false;
    void answers().then(() => {
      done = true;
    });
    await clock.advance(0);
    return done;
  };
  return { clock, calls, waiting, device, answered };
}

test('every call arrives with its arguments, and its result comes back', () => {
  const { calls, device } = world();
  const bytes = new Uint8Array(1);
  assert.deepEqual([device.path, device.sizeBytes], ['/disk', 4096]);
  const asked: [keyof Device, ...unknown[]][] = [
    ['readCached', 1, bytes],
    ['writeNow', 2, bytes],
    ['zeroNow', 3, 4, true],
    ['punchNow', 5, 6],
    ['nextData', 7],
    ['nextHole', 8],
    ['prefetch', 9, 10],
    ['dropCached', 11, 12],
    ['close'],
    ['read', 13, bytes],
    ['readAside', 14, bytes],
    ['readMedium', 15, bytes],
    ['write', 16, bytes],
    ['sync'],
  ];
  for (const [name, ...args] of asked) {
    const result = (device[name] as (...given: unknown[]) => unknown)(...args);
    const plain = ['writeNow', 'zeroNow', 'prefetch', 'dropCached'].includes(name);
    assert.ok(plain || result === 7 || result instanceof Promise, name);
  }
  assert.deepEqual(calls, asked);
});

test('a read that never ends is a silence, until it does', async () => {
  const { clock, waiting, device, answered } = world();
  assert.ok(await answered());
  const read = device.read(0, new Uint8Array(1));
  await clock.advance(READ_OVERDUE_MS - 1);
  assert.ok(await answered(), 'it is only slow');
  await clock.advance(1);
  const silence = answered();
  assert.equal(await silence, false);
  waiting[0]?.resolve();
  await read;
  assert.ok(await answered());
});

test('a failure is an answer; a flush may take its time', async () => {
  const { clock, waiting, device, answered } = world();
  const [read, flush] = [device.read(0, new Uint8Array(1)), device.sync()];
  waiting[0]?.reject(new TypeError('EIO'));
  await assert.rejects(read, TypeError);
  await clock.advance(FLUSH_OVERDUE_MS - 1);
  assert.ok(await answered());
  await clock.advance(1);
  assert.equal(await answered(), false);
  waiting[1]?.resolve();
  await flush;
  assert.ok(await answered());
});
