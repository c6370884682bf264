// Key files: what is taken, what is refused, and that no error repeats the secret.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { hex, seededRandom, systemRandom } from '../../src/base/random.js';
import { createSecretFile, formatSecret, parseSecret, readSecret } from '../../src/net/psk.js';
import { scratch } from '../real.js';

const DIGITS = hex(seededRandom(7).bytes(32));

test('keygen makes a file only its owner can read, and its secret comes back', async (t) => {
  const path = join(scratch(t), 'vm1.key');
  await createSecretFile(path, systemRandom);
  assert.equal(statSync(path).mode & 0o7777, 0o600);
  assert.match(readFileSync(path, 'latin1'), /^[0-9a-f]{64}\n$/);
  const secret = await readSecret(path);
  assert.equal(secret.length, 32);
  assert.equal(formatSecret(secret), readFileSync(path, 'latin1'));
});

test('two secrets differ', async (t) => {
  const folder = scratch(t);
  const paths = [join(folder, 'a'), join(folder, 'b')] as const;
  for (const path of paths) await createSecretFile(path, systemRandom);
  assert.notDeepEqual(await readSecret(paths[0]), await readSecret(paths[1]));
});

test('keygen never replaces a file', async (t) => {
  const path = join(scratch(t), 'vm1.key');
  writeFileSync(path, 'precious');
  await assert.rejects(createSecretFile(path, systemRandom), (e) => codeOf(e) === 'SECRET_EXISTS');
  assert.equal(readFileSync(path, 'latin1'), 'precious');
});

for (const mode of [0o640, 0o604, 0o660, 0o611]) {
  test(`a key file of mode ${mode.toString(8)} is refused`, async (t) => {
    const path = join(scratch(t), 'vm1.key');
    writeFileSync(path, `${DIGITS}\n`, { mode: 0o600 });
    chmodSync(path, mode);
    await assert.rejects(readSecret(path), (error) => {
      assert.equal(codeOf(error), 'SECRET_EXPOSED');
      assert.match(String(error), new RegExp(`mode 0${mode.toString(8)} .*chmod 600`));
      return true;
    });
  });
}

test('a missing key file says how to make one', async (t) => {
  const path = join(scratch(t), 'none');
  await assert.rejects(readSecret(path), (error) => {
    assert.equal(codeOf(error), 'SECRET_UNREADABLE');
    assert.match(String(error), /ENOENT.*hastctl keygen/);
    return true;
  });
});

test('a directory is no key file', async (t) => {
  const path = join(scratch(t), 'folder');
  mkdirSync(path, { mode: 0o700 });
  await assert.rejects(readSecret(path), (error) => codeOf(error) === 'SECRET_MALFORMED');
});

test('what is too far behind the key to be read is no reason to take it', async (t) => {
  const path = join(scratch(t), 'long');
  writeFileSync(path, `${`${DIGITS}\n`.padEnd(256)}and a second key`, { mode: 0o600 });
  await assert.rejects(readSecret(path), (error) => codeOf(error) === 'SECRET_MALFORMED');
});

test('a huge file is refused without being read whole', async (t) => {
  const path = join(scratch(t), 'huge');
  writeFileSync(path, 'a'.repeat(1_000_000), { mode: 0o600 });
  await assert.rejects(readSecret(path), (error) => codeOf(error) === 'SECRET_MALFORMED');
});

const CONTENT: readonly [string, string, boolean][] = [
  ['with newline', `${DIGITS}\n`, true],
  ['without newline', DIGITS, true],
  ['upper case, CRLF', `${DIGITS.toUpperCase()}\r\n`, true],
  ['one digit short', DIGITS.slice(1), false],
  ['one digit more', `${DIGITS}0`, false],
  ['two lines', `${DIGITS}\n${DIGITS}\n`, false],
  ['not hexadecimal', `x${DIGITS.slice(1)}`, false],
  ['empty', '', false],
];

for (const [title, text, good] of CONTENT) {
  test(`secret text ${title}`, () => {
    if (good) return assert.equal(hex(parseSecret(text, 'f')), DIGITS);
    return assert.throws(
      () => parseSecret(text, 'f'),
      (error) => {
        assert.equal(codeOf(error), 'SECRET_MALFORMED');
        assert.ok(!String(error).includes(DIGITS.slice(1, 20)), 'the secret is not repeated');
        return true;
      },
    );
  });
}
