// Two nodes that do not fit together: no peer, another key, a key on one side only, another
// resource, a disk that is too small. Each time `sync` ends with status 6 and a sentence, both
// ends' status says why, the guest notices nothing; and when it has been put right, one round
// makes the replica the primary's disk.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { needTool } from '../real.js';
import { assertSameImages, MIB, makeImage, qemuIo } from './images.js';
import { hello, portOf, sendAndHangUp } from './mischief.js';
import { makePair, type Pair, RealNode } from './nodes.js';
import { create, listen, nothingLost, takeRole, targetOf } from './steps.js';

const DISK_BYTES = 16 * MIB;

interface Misfit {
  readonly what: string;
  /** The configuration of b. */
  readonly edit: (text: string) => string;
  readonly resource?: string;
  readonly mediaBytes?: number;
  /** Code and text of lastError on a, text of what b says. */
  readonly code: string;
  readonly a: RegExp;
  readonly b: RegExp;
}

const misfits = (folder: string): Misfit[] => [
  {
    what: 'another key',
    edit: (text) => text.replace('hast.key', 'other.key'),
    code: 'PEER_WRONG_KEY',
    a: /key.*vm1|vm1.*key/,
    b: /key.*vm1|vm1.*key/,
  },
  {
    what: 'no secret on b',
    edit: (text) => text.replace(`secret ${folder}/hast.key`, ''),
    code: 'PEER_UNKNOWN_RESOURCE',
    a: /vm1/,
    b: /vm1/,
  },
  {
    what: 'another resource on b',
    edit: (text) => text.replace('resource vm1', 'resource vm9'),
    resource: 'vm9',
    code: 'PEER_UNKNOWN_RESOURCE',
    a: /vm1/,
    b: /vm1/,
  },
  {
    what: 'a disk on b that is smaller',
    edit: (text) => text,
    mediaBytes: DISK_BYTES - 512,
    code: 'TARGET_REFUSED',
    a: /16776704.*16777216.*make it larger/,
    b: /16776704.*16777216.*make it larger/,
  },
];

/** Node b as `misfit` makes it, running and secondary. */
async function startMisfit(pair: Pair, misfit: Misfit): Promise<RealNode> {
  const { folder, config } = pair;
  const other = join(folder, 'b.conf');
  writeFileSync(other, misfit.edit(readFileSync(config, 'utf8')));
  const b = new RealNode('b', folder, other, []);
  await b.hastd();
  const resource = misfit.resource ?? 'vm1';
  await create(b, misfit.mediaBytes ?? null, resource);
  await takeRole(b, 'secondary', {}, resource);
  return b;
}

async function lastErrorOf(node: RealNode) {
  const { lastError } = await targetOf(node);
  assert.ok(lastError !== null, `${node.name} says nothing in status`);
  return lastError;
}

test('nodes that do not fit: both say why, and nothing is lost', async (t) => {
  if (!needTool(t, 'qemu-io')) return;
  const pair = await makePair(t, { sizeBytes: DISK_BYTES });
  const { a, folder } = pair;
  const nodes: RealNode[] = [];
  t.after(async () => {
    for (const node of nodes) await node.kill('SIGKILL');
  });
  await a.ask('keygen', `${folder}/other.key`);
  makeImage(a.image, DISK_BYTES, 5 * MIB);
  await a.hastd();
  await create(a);
  await takeRole(a, 'primary');

  await t.test('no peer at all', async () => {
    const { status, stdout, stderr } = await a.ctl('sync', 'vm1', '--wait');
    assert.equal(status, 6, 'not committed');
    assert.match(stdout + stderr, /127\.0\.0\.1:\d+.*(ECONNREFUSED|cannot be reached)/);
    assert.equal((await targetOf(a)).state, 'unreachable');
  });
  for (const [number, misfit] of misfits(folder).entries()) {
    await t.test(misfit.what, async () => {
      const b = await startMisfit(pair, misfit);
      nodes.push(b);
      const { status, stdout, stderr } = await a.ctl('sync', 'vm1', '--wait');
      assert.equal(status, 6, stdout + stderr);
      const onA = await lastErrorOf(a);
      assert.equal(onA.code, misfit.code, onA.text);
      assert.match(onA.text, misfit.a);
      assert.match(stdout + stderr, misfit.a, 'sync itself says it too');
      assert.match(b.log(), misfit.b);
      if (misfit.resource === undefined) assert.match((await lastErrorOf(b)).text, misfit.b);
      await qemuIo(a.nbdUri, `write -P ${number + 1} ${number}M 70k`, 'flush');
      assert.equal(await b.kill('SIGTERM'), 0);
      rmSync(join(folder, 'b'), { recursive: true });
      rmSync(b.image, { force: true });
      rmSync(join(folder, 'b.log'));
    });
  }
  await t.test('put right', async () => {
    await pair.b.hastd();
    await create(pair.b);
    await takeRole(pair.b, 'secondary');
    await nothingLost(pair);
    assert.equal((await targetOf(a)).lastError, null, 'the error is over');
    assert.equal((await targetOf(pair.b)).lastError, null);
  });
  await t.test('a stranger without the key does not end the session that is there', async () => {
    const log = listen(pair.b);
    await sendAndHangUp(portOf(pair.config, 'b'), hello());
    await log.line(/only with its secret/);
    await sendAndHangUp(portOf(pair.config, 'b'), Buffer.from('\x16\x03\x01\x00\x05hello'));
    await log.line(/a peer was refused/);
    assert.doesNotMatch(log.news(), /the primary is gone/);
    assert.equal((await targetOf(a)).link, 'up');
    await nothingLost(pair);
  });
  await t.test('key files that cannot be used', async () => {
    assert.equal(await pair.b.kill('SIGTERM'), 0);
    const key = `${folder}/hast.key`;
    const good = readFileSync(key, 'utf8');
    const starting = async (pattern: RegExp): Promise<void> => {
      rmSync(join(folder, 'b.log'), { force: true });
      assert.equal(await pair.b.hastdEnds(), 66);
      assert.match(pair.b.log(), pattern);
    };
    chmodSync(key, 0o644);
    await starting(/hast\.key.*0644.*chmod/);
    chmodSync(key, 0o600);
    writeFileSync(key, 'too short\n');
    await starting(/hast\.key.*9 characters, not 64/);
    rmSync(key);
    await starting(/hast\.key.*ENOENT/);
    const again = await pair.b.ctl('keygen', `${folder}/other.key`);
    assert.equal(again.status, 73, 'an existing key is never replaced');
    writeFileSync(key, good, { mode: 0o600 });
    await pair.b.hastd();
    await takeRole(pair.b, 'secondary');
    await qemuIo(a.nbdUri, 'write -P 9 9M 70k', 'flush');
    await nothingLost(pair);
    assertSameImages(a.image, pair.b.image);
  });
});
