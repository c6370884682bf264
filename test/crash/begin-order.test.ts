// The begin of a first copy: the disk is opened and long enough before anything of it is published
// (H14, H29), and a replica without disk and table says so to whoever asks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Files } from '../../src/base/files.js';
import { verifyTarget } from '../../src/care/verify.js';
import { DaemonError } from '../../src/daemon/daemon-faults.js';
import { DiskError } from '../../src/disk/device.js';
import { fillByPasses } from '../../src/round/fill.js';
import { newCounts } from '../../src/round/parts.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import { same } from './checks.js';
import { another, beginOf, coded, large, ready, refusedAs, started } from './ladder-material.js';
import { limited } from './limit.js';
import { DISK, type Knobs, STATE } from './nodes.js';
import { Pair } from './pair.js';

const LIMIT = limited(20_000);
const POINT = { id: new Uint8Array(16), number: 1, timeMs: 1 };
const never = new AbortController().signal;

const tooSmall = () =>
  new DaemonError({
    code: 'DISK_TOO_SMALL',
    name: 'vm1',
    path: '/dev/vg/b',
    sizeBytes: 512,
    wantedBytes: large.sizeBytes,
  });
const forbidden = () =>
  new DiskError({ code: 'DISK_FAILED', operation: 'open', path: DISK, offset: 0, errno: 'EACCES' });

function verify(pair: Pair, deep: boolean) {
  const { parts } = pair.primaryNode;
  const { device } = parts.volume;
  const { table, compute } = parts;
  const dirty = () => false;
  return verifyTarget({ target: pair.target, table, device, compute, dirty }, deep, never);
}

for (const [what, error, code] of [
  ['too small', tooSmall, 'TARGET_REFUSED'],
  ['not to be opened', forbidden, 'DISK_FAILED'],
] as const) {
  test(
    `a disk that is ${what}: nothing of the round is kept, and questions end`,
    LIMIT,
    async () => {
      let broken = true;
      const replicaDevice: Knobs['replicaDevice'] = (device) => {
        if (broken) throw error();
        return device;
      };
      const pair = new Pair(large, 3, { replicaDevice });
      await started(pair);
      await assert.rejects(pair.meet(), coded(code));
      const { state } = pair.replicaNode.resourceFile;
      assert.deepEqual([state.resource, state.sizeBytes, state.epochs], [null, 0, []]);
      pair.connect();
      assert.equal(await pair.contact(), 'fill');
      for (const deep of [false, true]) await assert.rejects(verify(pair, deep), refusedAs('size'));
      assert.equal(await pair.target.chunk(0, POINT), null);
      pair.link?.cut();
      await turn();
      await pair.replicaNode.replica.close();
      await pair.startReplica(); // the role can be taken again
      broken = false;
      pair.connect();
      await pair.meet();
      await another(pair);
    },
  );
}

test('disk open, table not: nothing of it is asserted', LIMIT, async () => {
  let broken = true;
  const replicaFiles = (files: Files): Files =>
    new Proxy(files, {
      get(real, name) {
        const value: unknown = Reflect.get(real, name, real);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (broken && name === 'open' && String(args[0]).endsWith('disk.digests')) {
            return Promise.reject(forbidden());
          }
          return value.apply(real, args) as unknown;
        };
      },
    });
  const pair = new Pair(large, 4, { replicaFiles });
  await started(pair);
  const no = refusedAs('size', /no disk here yet/);
  await assert.rejects(pair.meet(), coded('DISK_FAILED'));
  await assert.rejects(pair.target.digests(0, 4, 'table'), no);
  broken = false;
  // The table of a first copy is made anew: the one before is gone when that fails.
  await pair.target.begin(beginOf(pair, { kind: 'pass', from: null }));
  broken = true;
  await assert.rejects(pair.target.begin(beginOf(pair, { kind: 'pass', from: null })));
  await assert.rejects(pair.target.digests(0, 4, 'disk'), no);
  assert.equal(await pair.target.chunk(0, POINT), null);
  broken = false;
  await pair.meet();
  await another(pair);
});

/** The state never tells of more disk than a crash leaves: the role could not be taken again. */
async function diskBehindState(pair: Pair, where: string): Promise<void> {
  const { state } = await ResourceFile.load(pair.receiverWorld, STATE);
  const has = pair.receiverWorld.sizeNow(DISK) ?? 0;
  assert.ok(has >= state.sizeBytes, `${where}: ${has} bytes, the state has ${state.sizeBytes}`);
}

for (const [what, first] of [
  ['of the first round', 0],
  ['of a disk that has grown before its first point', large.sizeBytes / 2],
] as const) {
  test(`a crash anywhere in the begin ${what}`, LIMIT, async () => {
    let reached = true;
    for (let at = 0; reached; at += 1) {
      const pair = new Pair(large, 5);
      await started(pair);
      const begin = beginOf(pair, { kind: 'pass', from: null });
      if (first > 0) {
        await pair.target.begin(beginOf(pair, { kind: 'pass', from: null, sizeBytes: first }));
      }
      pair.receiverWorld.crashAt(pair.receiverWorld.steps + at);
      const begun = pair.target.begin(begin).catch(() => undefined);
      await Promise.race([begun, pair.receiverWorld.stopped]);
      await turn();
      const { stoppedAt } = pair.receiverWorld;
      reached = stoppedAt !== null;
      pair.link?.cut();
      for (const loss of ['all', 'none', 'seeded'] as const) {
        const next = pair.fork('receiver', loss, at, 'live');
        await diskBehindState(next, `${loss}, ${stoppedAt}`);
        if (loss !== 'all') continue;
        await next.startReplica();
        next.connect();
        await next.meet();
        await next.wholeRound();
        same(next.replicaNode.bytes(), next.primaryNode.bytes(), 'the first point');
      }
    }
  });
}

test('verify of a target in its first copy, or whose table is of no point', LIMIT, async () => {
  const filling = new Pair(large, 6);
  await started(filling);
  await filling.contact();
  await fillByPasses(filling.primaryNode.parts, filling.target, newCounts('pass'), never);
  const cannot = refusedAs('busy', /true for no point now/);
  for (const deep of [false, true]) await assert.rejects(verify(filling, deep), cannot);

  const pair = await ready(7, {}, large);
  assert.equal((await verify(pair, false)).differing, 0);
  await pair.replicaNode.replica.table.beginChange();
  await assert.rejects(verify(pair, false), cannot);
  assert.equal((await verify(pair, true)).differing, 0, 'the disks can be compared');
});
