// config --check and the key files: what hastd would refuse to start with is an error of the check,
// and each text leads to the one key that all nodes share.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { configured, hastctl, parsed } from './run-hastctl.js';

/** A configuration with a key file that keygen made. */
async function keyed(t: TestContext) {
  const { file, folder, before } = configured(t);
  const key = join(folder, 'hast.key');
  writeFileSync(file, `secret ${key}\n${readFileSync(file, 'utf8')}`);
  assert.equal((await hastctl(['keygen', key])).status, 0);
  const check = () => hastctl([...before, 'config', '--check']);
  return { check, before, key, where: `${file}:1:8: secret: ` };
}

test('a key that is there and private is no finding', async (t) => {
  const { check } = await keyed(t);
  const { status, out, err } = await check();
  assert.deepEqual([status, err], [0, '']);
  assert.match(out, /good for node a/);
});

test('a missing key is an error, and another one is not the remedy', async (t) => {
  const { check, before, key, where } = await keyed(t);
  rmSync(key);
  const { status, out, err } = await check();
  assert.deepEqual([status, out], [78, '']);
  const copy = 'copy the file of the other node, for all nodes have one key';
  const first = `if none has one yet, make it once: hastctl keygen ${key}`;
  assert.equal(err, `${where}${key}: there is no key; ${copy} (${first})\n`);
  const json = parsed(await hastctl([...before, 'config', '--check', '--json']));
  assert.equal(json['settings'], null);
  assert.equal((json['findings'] as { level: string }[])[0]?.level, 'error');
  assert.equal((await hastctl([...before, 'config'])).status, 0, 'only --check looks at files');
});

test('the key of an archive may be a passphrase; a missing or short one is no key', async (t) => {
  const { file, folder, before } = configured(t);
  const key = join(folder, 'archive.key');
  const text = readFileSync(file, 'utf8').replace(
    'replication periodic',
    `archive usb { url file://${folder}\n key ${key} }`,
  );
  writeFileSync(file, text);
  const line = text.slice(0, text.indexOf(' key ')).split('\n').length;
  const check = () => hastctl([...before, 'config', '--check']);
  const missing = await check();
  assert.equal(missing.status, 78);
  const why = 'there is no key; an archive that is there needs the file that it was sealed with';
  assert.ok(missing.err.startsWith(`${file}:${line}:6: key: ${key}: ${why} `), missing.err);
  writeFileSync(key, 'passphrase correct horse battery\n', { mode: 0o600 });
  const { status, err } = await check();
  assert.deepEqual([status, err], [0, '']);
  writeFileSync(key, 'passphrase short\n');
  const short = await check();
  assert.equal(short.status, 78);
  assert.match(short.err, /: key: .*a passphrase of 5 characters; 12 are the least/);
});

test('a key that others may read, or that is none, is an error', async (t) => {
  const { check, key, where } = await keyed(t);
  chmodSync(key, 0o644);
  const open = await check();
  assert.equal(open.status, 78);
  assert.equal(
    open.err,
    `${where}${key}: mode 0644 lets others read the secret (chmod 600 ${key})\n`,
  );
  chmodSync(key, 0o600);
  writeFileSync(key, 'no key');
  const none = await check();
  assert.equal(none.status, 78);
  assert.match(none.err, /not a secret: 6 characters/);
});
