// An archive as a primary meets it again: at another url, left and returned to, set back, not there
// because its disk is not mounted, written by a clone. The real contact, first copy and round.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { silentLog } from '../../src/base/log.js';
import { retainLast } from '../../src/config/retain.js';
import { packRaw } from '../../src/format/pack.js';
import { type Contact, contact, recordOf, updateTarget } from '../../src/round/contact.js';
import { fillByPasses } from '../../src/round/fill.js';
import { newCounts } from '../../src/round/parts.js';
import { runRound } from '../../src/round/round.js';
import type { ArchiveTarget } from '../../src/target/archive.js';
import { ArchiveKeep } from '../../src/target/archive-keep.js';
import { openArchiveTarget } from '../../src/target/open-archive.js';
import { lastOf, reads } from '../archive/review-world.js';
import { Pair } from '../crash/pair.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';

const LIMIT = { timeout: 30_000 };
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

const never = new AbortController().signal;
const MIB = 1024 * 1024;
const SHAPE = {
  sizeBytes: 2 * MIB,
  extentBytes: 2 * MIB,
  keepdirty: 4,
  spillBytes: MIB,
  retain: 4,
};
const KEEP = new ArchiveKeep(
  () => ({ rule: retainLast(1000), timezone: 'UTC' }),
  () => 1,
);

/** A primary whose target is an archive, and what stands at the places that it may be given. */
class Story {
  readonly pair: Pair;
  readonly places = new Map<string, MemoryObjects>();

  constructor(pair: Pair) {
    this.pair = pair;
  }

  static async begin(seed: number): Promise<Story> {
    const pair = new Pair(SHAPE, seed);
    await pair.startPrimary();
    return new Story(pair);
  }

  get parts() {
    return this.pair.primaryNode.parts;
  }

  get record() {
    return recordOf(this.parts.resourceFile, this.parts.target);
  }

  at(place: string): MemoryObjects {
    const found = this.places.get(place) ?? new Map();
    this.places.set(place, found);
    return found;
  }

  write(value: number): Promise<void> | 'done' {
    return this.pair.primaryNode.disk.write(value * 65_536, Buffer.alloc(65_536, value));
  }

  async open(place: string): Promise<ArchiveTarget> {
    const resource = this.parts.resourceFile.state.resource ?? assert.fail('it has an id');
    return openArchiveTarget({
      name: 'b',
      place,
      resource: { id: resource, name: 'vm1' },
      store: new MemoryStore(this.at(place), {}, place),
      secret: null,
      storageClass: null,
      files: this.pair.senderWorld,
      journalPath: '/state/b.journal',
      pack: packRaw,
      keep: KEEP,
      nowMs: () => 1,
      random: this.pair.random,
      log: silentLog,
      packBytes: 128 * 1024,
    });
  }

  async contact(place: string): Promise<Contact> {
    const target = await this.open(place);
    try {
      return await contact(this.parts, target);
    } finally {
      await target.close();
    }
  }

  /** A whole run; the newest point there is the disk then. */
  async round(place: string): Promise<Contact> {
    const target = await this.open(place);
    try {
      const found = await contact(this.parts, target);
      const passes = newCounts('pass');
      const fill = found === 'fill' ? await fillByPasses(this.parts, target, passes, never) : null;
      await runRound(this.parts, target, newCounts('round'), never, fill);
      await reads(this.at(place), await lastOf(this.at(place)), this.pair.primaryNode.bytes());
      return found;
    } finally {
      await target.close();
    }
  }
}

const A = 'memory://a/vm1';
const B = 'memory://b/vm1';

test(
  'an archive that was left for another url is gone on with, and misses nothing',
  LIMIT,
  async () => {
    const it = await Story.begin(1);
    assert.equal(await it.round(A), 'fill');
    await it.write(1);
    assert.equal(await it.round(A), 'ready');
    await it.write(2);
    assert.equal(await it.round(B), 'fill', 'another url is a first copy');
    await it.write(3);
    await it.round(B);
    await it.write(4);
    assert.equal(await it.round(A), 'ready');
    const [, , fifth] = [...it.at(A).keys()].filter((key) => key.startsWith('points/'));
    assert.ok(fifth !== undefined, 'its points go on behind those that it had');
    await it.write(5);
    assert.equal(await it.round(B), 'ready', 'and so do those of the other');
    assert.equal((await lastOf(it.at(B))).to.number, 6, 'no number is used twice');
    assert.equal(it.record.setBack, undefined, 'none of them was set back');
  },
);

test('one that was set back is gone on with from where it stands', LIMIT, async () => {
  const it = await Story.begin(2);
  await it.round(A);
  const before = new Map(it.at(A));
  await it.write(1);
  await it.round(A);
  assert.equal(it.record.setBack, undefined);
  it.places.set(A, before);
  await it.write(2);
  assert.equal(await it.round(A), 'ready');
  const { from, to } = it.record.setBack ?? assert.fail('it is noted');
  assert.deepEqual([from, to], [2, 1]);
  await it.round(B);
  assert.equal(it.record.setBack, undefined, 'nothing of it is true of another place');
});

test(
  'a first copy that was left unfinished at another url is no archive that is gone',
  LIMIT,
  async () => {
    const it = await Story.begin(3);
    await it.round(A);
    const target = await it.open(B);
    assert.equal(await contact(it.parts, target), 'fill');
    await fillByPasses(it.parts, target, newCounts('pass'), never);
    await target.close();
    assert.ok(it.at(B).size > 0, 'it has begun');
    assert.equal(await it.round(A), 'ready');
    assert.equal(await it.round(B), 'fill');
  },
);

test(
  'the point of a clone is a stranger, also where the archive was left meanwhile',
  LIMIT,
  async () => {
    const it = await Story.begin(4);
    await it.round(A);
    const clone = new Story(it.pair.fork('sender', 'all', 5, 'live'));
    await clone.pair.startPrimary();
    clone.places.set(A, it.at(A));
    await it.write(1);
    await it.round(B);
    await clone.write(7);
    await clone.round(A);
    const { point } = it.record;
    await assert.rejects(it.contact(A), /diverged: .*written by another primary/);
    assert.deepEqual(it.record.point, point, 'nothing was taken over');
  },
);

test('an archive that is gone is no new one: it is told, and comes back', LIMIT, async () => {
  const it = await Story.begin(6);
  await it.round(A);
  await it.write(1);
  const { point } = it.record;
  const objects = it.at(A);
  const points = new Map([...objects].filter(([key]) => !/^(points|epochs|head)/.test(key)));
  for (const there of [new Map(), points]) {
    it.places.set(A, there);
    const kept = there.size;
    await assert.rejects(it.contact(A), /behind: .*not mounted, or what was there is gone/);
    assert.equal(there.size, kept, 'nothing is begun there');
    assert.deepEqual(it.record.point, point);
  }
  it.places.set(A, objects);
  assert.equal(await it.round(A), 'ready');
  it.places.delete(A);
  assert.equal(await it.round(B), 'fill', 'another url begins anew');
});

test(
  'a state that does not say the place learns it, and another url begins anew then',
  LIMIT,
  async () => {
    const it = await Story.begin(7);
    await it.round(A);
    await updateTarget(it.parts, ({ place: _, ...record }) => record);
    it.places.delete(A);
    await assert.rejects(it.contact(A), /not mounted/);
    assert.equal(it.record.place, A);
    assert.equal(await it.round(B), 'fill');
  },
);

test('the archive of another resource is left alone, and said to be one', LIMIT, async () => {
  const [it, other] = [await Story.begin(8), await Story.begin(9)];
  await other.round(A);
  it.places.set(A, other.at(A));
  await assert.rejects(it.contact(A), /foreign: .*the archive of another resource/);
});

test('what is said of an archive at one place is not said of another', LIMIT, async () => {
  const it = await Story.begin(10);
  await it.round(A);
  await updateTarget(it.parts, (record) => ({ ...record, verifiedMs: 1 }));
  await it.contact(A);
  assert.equal(it.record.verifiedMs, 1);
  it.places.set(B, new Map(it.at(A)));
  assert.equal(await it.contact(B), 'ready', 'a copy is where the archive was');
  assert.deepEqual([it.record.place, it.record.verifiedMs], [B, null]);
});
