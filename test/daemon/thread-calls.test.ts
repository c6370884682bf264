// Calls between threads over a real message channel: answers, typed faults, both directions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { codeOf, HastError } from '../../src/base/errors.js';
import { ControlError } from '../../src/control/api.js';
import { connectThreads } from '../../src/daemon/thread-calls.js';

interface Sums {
  add(a: number, b: number): Promise<number>;
  fail(name: string): Promise<void>;
  bug(): Promise<void>;
}

interface Names {
  name(): Promise<string>;
}

function pair() {
  const { port1, port2 } = new MessageChannel();
  const bugs: unknown[] = [];
  const sums: Sums = {
    add: async (a, b) => a + b,
    fail: async (name) => {
      throw new ControlError({ code: 'CONTROL_NO_RESOURCE', name, known: 'vm1' });
    },
    bug: async () => {
      throw new TypeError('oops');
    },
  };
  const names: Names = { name: async () => 'a' };
  const left = connectThreads<Sums, Names>(port1, sums, (error) => bugs.push(error));
  const right = connectThreads<Names, Sums>(port2, names, (error) => bugs.push(error));
  return { left, right, bugs, close: () => port1.close() };
}

test('both sides call, several calls at once keep their answers apart', async (t) => {
  const { left, right, close } = pair();
  t.after(close);
  const [name, ...sums] = await Promise.all([
    left.call('name'),
    right.call('add', 1, 2),
    right.call('add', 10, 20),
  ]);
  assert.equal(name, 'a');
  assert.deepEqual(sums, [3, 30]);
});

test('a fault arrives with its code, facts and sentence', async (t) => {
  const { right, bugs, close } = pair();
  t.after(close);
  const error: unknown = await right.call('fail', 'vm9').catch((caught: unknown) => caught);
  assert.ok(error instanceof HastError);
  assert.equal(codeOf(error), 'CONTROL_NO_RESOURCE');
  assert.deepEqual(error.fault, { code: 'CONTROL_NO_RESOURCE', name: 'vm9', known: 'vm1' });
  assert.match(error.message, /no resource vm9 on this node/);
  assert.deepEqual(bugs, [], 'a fault of the world is no bug');
});

test('our own mistake answers the caller and is told as a bug', async (t) => {
  const { right, bugs, close } = pair();
  t.after(close);
  await assert.rejects(right.call('bug'), /oops/);
  assert.equal(bugs.length, 1);
});
