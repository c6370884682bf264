// An archive that its primary verifies: so many bytes a day, no pack again within a month, none
// while it is off; it waits for rounds and holds none up, goes on after a failure, and what it
// finds damaged is sent again by the next round.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { ChunkReader } from '../../src/archive/chunk-reader.js';
import { PointTrees } from '../../src/archive/tree.js';
import { equalBytes } from '../../src/base/digest.js';
import { silentLog } from '../../src/base/log.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES, chunkCount } from '../../src/base/units.js';
import type { ArchiveSettings } from '../../src/config/settings.js';
import { LookLoop } from '../../src/daemon/look-loop.js';
import type { ArchiveTarget } from '../../src/target/archive.js';
import { Sender } from '../archive/sender.js';
import { type MemoryObjects, MemoryStore, type StoreWeather } from '../store/memory-store.js';
import { FakeClock } from '../world/fake-clock.js';

const DAY_MS = 24 * 3_600_000;
const CHUNKS = 96;
const PATH = '/state/offsite.verified';
const SETTINGS: ArchiveSettings = {
  url: 'memory://bucket',
  base: 'memory://bucket',
  endpoint: null,
  region: null,
  checksums: 'supported',
  storageClass: null,
  keyPath: null,
  timezone: 'UTC',
  verifyBytes: 0,
};

/** A node whose archive has some points, and the loop of its role. */
class Scene {
  readonly objects: MemoryObjects = new Map();
  readonly sender: Sender;
  readonly clock = new FakeClock();
  readonly weather: { -readonly [K in keyof StoreWeather]: StoreWeather[K] } = {};
  readonly target: {
    name: string;
    settings: { archive: ArchiveSettings };
    busy: boolean;
    session: ArchiveTarget | null;
  };
  store = new MemoryStore();
  loop: LookLoop;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(seed: number) {
    this.sender = new Sender(seededRandom(seed), this.objects, null, CHUNKS * CHUNK_BYTES);
    this.sender.newStore = async () => {
      this.store = new MemoryStore(this.objects, this.weather);
      return this.store;
    };
    this.target = { name: 'offsite', settings: { archive: SETTINGS }, busy: false, session: null };
    this.loop = this.#newLoop();
  }

  async made(rounds: number): Promise<this> {
    const { sender } = this;
    for (let round = 0; round < rounds; round += 1) {
      for (let at = 0; at < sender.disk.length && round === 0; at += CHUNK_BYTES) {
        sender.disk.set(sender.random.bytes(CHUNK_BYTES), at);
      }
      for (let times = 0; times < 4; times += 1) sender.write();
      await sender.round();
    }
    return this;
  }

  set budget(verifyBytes: number) {
    this.target.settings = { archive: { ...SETTINGS, verifyBytes } };
  }

  async connect(): Promise<void> {
    this.target.session = await this.sender.open();
  }

  begin(): void {
    this.#stop = new AbortController();
    this.loop = this.#newLoop();
    this.#running = this.loop.run(this.#stop.signal);
  }

  /** Lets it run until it is through with what it does. */
  async run(ms: number): Promise<void> {
    for (let steps = 0; steps < 40; steps += 1) await this.clock.advance(ms / 40);
  }

  /** The wall clock goes on by so many days; a few seconds of each run. */
  async days(count: number): Promise<void> {
    for (let day = 0; day < count; day += 1) {
      this.clock.stepWall(DAY_MS);
      await this.run(4000);
    }
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.sender.close();
    this.target.session = null;
    await this.#running;
  }

  get requests(): number {
    const { get, head, list } = this.store.counts;
    return get + head + list;
  }

  #newLoop(): LookLoop {
    const { target, clock, sender } = this;
    return new LookLoop({ target, files: sender.world, path: PATH, clock, log: silentLog });
  }
}

test('so many bytes a day, then no pack again within a month; off, no request', async () => {
  const scene = await new Scene(31).made(3);
  await scene.connect();
  scene.begin();
  const before = scene.requests;
  await scene.run(180_000);
  assert.equal(scene.requests, before, 'it is off');
  assert.equal(scene.loop.summary(), null);
  scene.budget = 1_500_000;
  await scene.run(61_000); // it looks once a minute whether it is on
  let [days, never] = [0, Number.POSITIVE_INFINITY];
  const begunMs = scene.clock.wallMs();
  while (never > 0) {
    await scene.days(1);
    const { neverBytes = 0, bytes = 0, damaged } = scene.loop.summary() ?? {};
    assert.ok(
      neverBytes < never && bytes > 6_000_000 && damaged === 0,
      `${neverBytes} of ${bytes}`,
    );
    if (never !== Number.POSITIVE_INFINITY) assert.ok(never - neverBytes <= 1_500_000);
    never = neverBytes;
    days += 1;
  }
  assert.ok(days >= 4, `${days} days`);
  const { downBytes } = scene.store.counts;
  await scene.days(5);
  assert.ok(scene.store.counts.downBytes - downBytes < 5 * 50_000, 'points and tables');
  assert.ok(scene.clock.wallMs() - begunMs < 30 * DAY_MS);
  await scene.days(30);
  assert.ok(scene.store.counts.downBytes - downBytes > 6_000_000, 'all of it again');
  await scene.end();
});

test('it waits while a round runs, goes on after a restart, and holds up no close', async () => {
  const scene = await new Scene(32).made(2);
  scene.budget = 2 ** 30;
  await scene.connect();
  scene.target.busy = true;
  scene.begin();
  const before = scene.requests;
  await scene.run(3_600_000);
  assert.equal(scene.requests, before);
  scene.target.busy = false;
  // A round begins after some packs were read.
  let packs = 0;
  scene.weather.done = (request, key) => {
    if (request !== 'get' || !key.startsWith('packs/')) return;
    packs += 1;
    if (packs === 20) scene.target.busy = true;
  };
  await scene.run(60_000);
  assert.equal(scene.target.busy, true);
  const seen = scene.requests;
  await scene.run(3_600_000);
  assert.ok(scene.requests - seen === 0, 'it waits');
  await scene.end();
  scene.weather.done = () => {};
  scene.target.busy = false;
  await scene.connect();
  scene.begin();
  await scene.run(60_000);
  assert.equal(scene.loop.summary()?.neverBytes, 0);
  const asked = scene.requests;
  await scene.end();
  // Its day is over: nothing more is asked for, whoever starts it again.
  await scene.connect();
  const opened = scene.requests;
  scene.begin();
  await scene.run(3_600_000);
  assert.equal(scene.requests, opened);
  assert.ok(asked > opened);
  assert.equal(scene.loop.summary()?.neverBytes, 0, 'it is read from the file');
  await scene.end();
});

test('a store that does not answer: later again, with what is left of the day', async () => {
  const scene = await new Scene(33).made(2);
  scene.budget = 3_000_000;
  await scene.connect();
  let left = 15;
  scene.weather.fails = (request, key) => {
    if (request !== 'get' || !key.startsWith('packs/')) return null;
    left -= 1;
    return left < 0 ? 'before' : null;
  };
  scene.begin();
  await scene.run(60_000);
  assert.ok(left < 0);
  scene.weather.fails = () => null;
  await scene.run(3_600_000);
  const { neverBytes = 0, bytes = 0 } = scene.loop.summary() ?? {};
  assert.ok(bytes - neverBytes > 2_500_000 && bytes - neverBytes <= 3_000_000);
  await scene.end();
});

test('what is damaged of the newest point is sent again; others stay named', async () => {
  const scene = await new Scene(34).made(3);
  scene.budget = 2 ** 30;
  const { sender, objects } = scene;
  const archive = await Archive.open(new MemoryStore(objects), null);
  const last = await archive?.last();
  assert.ok(archive && last);
  const trees = new PointTrees(archive, last.trees);
  const leaf = await trees.leaf(0);
  const rotten = leaf.slice(10).find(({ pieces }) => pieces.some(({ place }) => place !== null));
  const place = rotten?.pieces.find((piece) => piece.place !== null)?.place;
  assert.ok(rotten && place);
  const name = hex((await trees.nameOf(place.pack)).name);
  const key = [...objects.keys()].find((each) => each.endsWith(name)) ?? '';
  const object = objects.get(key);
  assert.ok(object);
  const bytes = object.bytes.slice();
  bytes[place.offset + 200] = (bytes[place.offset + 200] ?? 0) ^ 1;
  objects.set(key, { ...object, bytes });

  await scene.connect();
  scene.begin();
  assert.equal(scene.target.session?.state.suspect, false);
  await scene.run(60_000);
  assert.equal(scene.loop.summary()?.damaged, 1);
  assert.equal(scene.target.session?.state.suspect, true);
  const { chunks } = (await scene.target.session?.doubts(0)) ?? { chunks: [] };
  assert.ok(chunks.includes(rotten.chunk), chunks.join(' '));
  // As a primary does it: what is in doubt is dirty as a whole.
  for (const chunk of chunks) sender.dirty.set(chunk, 0xffff);
  sender.resend = new Set(chunks);
  await scene.end();
  await sender.round();
  const point = await archive.last();
  assert.ok(point && point.to.number === 4);
  const reader = new ChunkReader(archive, new PointTrees(archive, point.trees), point.sizeBytes);
  for (let chunk = 0; chunk < chunkCount(point.sizeBytes); chunk += 1) {
    const at = chunk * CHUNK_BYTES;
    const wanted = sender.disk.subarray(at, at + CHUNK_BYTES);
    assert.ok(equalBytes((await reader.chunk(chunk)) ?? new Uint8Array(CHUNK_BYTES), wanted));
  }
  await scene.connect();
  scene.begin();
  await scene.days(2);
  assert.equal(scene.loop.summary()?.damaged, 1, 'older points need it');
  assert.equal(scene.target.session?.state.suspect, false, 'the newest does not');
  await scene.end();
});
