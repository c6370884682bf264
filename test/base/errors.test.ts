// One line for people: a cause is added only where it says something that is not there yet.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { describeError, errorClass } from '../../src/base/errors.js';

type Fault = { code: 'OUTER'; text: string };
const Outer = errorClass<Fault>('Outer', { OUTER: (f) => f.text });
const outer = (text: string, cause: unknown) => new Outer({ code: 'OUTER', text }, { cause });

function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  return assert.fail('it throws');
}

test('a system error after a sentence with its code adds its words, and no more', () => {
  const missing = thrown(() => readFileSync('/none/x'));
  const whole = "ENOENT: no such file or directory, open '/none/x'";
  assert.equal(describeError(missing), whole);
  assert.equal(
    describeError(outer('/none/x: open failed: ENOENT', missing)),
    '/none/x: open failed: ENOENT: no such file or directory',
  );
  assert.equal(describeError(outer('cannot start', missing)), `cannot start: ${whole}`);
  assert.equal(describeError(outer(`no start: ${whole}`, missing)), `no start: ${whole}`);
});

test('a connection that is refused is said once', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  await new Promise((resolve) => server.close(resolve));
  const refused = await new Promise((resolve) => {
    connect(address.port, '127.0.0.1').once('error', resolve);
  });
  const sentence = 'cannot reach b: ECONNREFUSED (is hastd running there?)';
  assert.equal(describeError(outer(sentence, refused)), sentence);
});

test("OpenSSL's own line reaches nobody", () => {
  const message =
    '40A7:error:0A0000FD:SSL routines:tls_psk_do_binder:binder does not verify:e.c:1:\n';
  const code = 'ERR_SSL_BINDER_DOES_NOT_VERIFY';
  const raw = Object.assign(new Error(message), { code, reason: 'binder does not verify' });
  assert.equal(describeError(outer('the secrets differ', raw)), 'the secrets differ');
  assert.equal(describeError(raw), 'TLS failed: binder does not verify');
});

test('causes of causes are said while they are new', () => {
  const inner = outer('the disk is full', new Error('deep'));
  assert.equal(describeError(outer('no round', inner)), 'no round: the disk is full: deep');
  assert.equal(describeError('text'), 'text');
});
