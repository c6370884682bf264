// Secrets: what is read anew counts for those it was read for, and nobody who has a secret in the
// configuration is dialled without it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { Secrets } from '../../src/daemon/secrets.js';
import { scratch } from '../real.js';

function keyFile(t: TestContext, digit: string): string {
  const path = join(scratch(t), `${digit}.key`);
  writeFileSync(path, digit.repeat(64), { mode: 0o600 });
  return path;
}

const refuses = (work: () => unknown): void =>
  assert.throws(work, (error) => codeOf(error) === 'SECRET_UNREADABLE');

test('a resource that is read anew leaves the others theirs', async (t) => {
  const secrets = new Secrets();
  const one = { name: 'vm1', secretPath: keyFile(t, '1') };
  const two = { name: 'vm2', secretPath: keyFile(t, '2') };
  await secrets.read([one, two]);
  await secrets.read([{ ...one, secretPath: two.secretPath }]);
  const dialled = [one, two].map((settings) => secrets.securityOf(settings));
  for (const [at, security] of dialled.entries()) {
    assert.ok(security.kind === 'psk', `vm${at + 1} is dialled with its secret`);
    assert.equal(security.secret[0], 0x22);
  }
  await secrets.read([{ name: 'vm1', secretPath: null }]);
  assert.equal(secrets.of('vm1'), null, 'taken out of the configuration');
  assert.ok(secrets.of('vm2') !== null);
});

test('a secret that was not read is never done without', async (t) => {
  const secrets = new Secrets();
  const one = { name: 'vm1', secretPath: keyFile(t, '1') };
  refuses(() => secrets.securityOf(one));
  await assert.rejects(secrets.read([one, { name: 'vm2', secretPath: '/nowhere' }]));
  refuses(() => secrets.securityOf(one));
  assert.equal(secrets.of('vm1'), null, 'nothing has changed');
  assert.deepEqual(secrets.securityOf({ name: 'vm3', secretPath: null }), { kind: 'plain' });
});
