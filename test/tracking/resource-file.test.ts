// resource.json: an update is there in both copies or, after a crash, old or new as a whole; either
// copy may be lost or damaged; an update that failed leaves nothing that could be taken for a later
// one (DESIGN.md §4, STYLE 16).
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { freshState } from '../../src/care/create.js';
import type { ResourceState } from '../../src/format/resource-state.js';
import {
  RESOURCE_FILE,
  RESOURCE_FILE_COPY,
  ResourceFile,
} from '../../src/tracking/resource-file.js';
import { CrashWorld } from '../world/memory-files.js';
import { eachCrash } from './crashes.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_260_716);
const FOLDER = '/state/vm1';
const [FIRST, SECOND] = [`${FOLDER}/${RESOURCE_FILE}`, `${FOLDER}/${RESOURCE_FILE_COPY}`];
const STATE: ResourceState = {
  ...freshState('vm1'),
  resource: seededRandom(1).bytes(16),
  sizeBytes: 10 * 1024 * 1024 + 512,
  role: 'primary',
};

async function made(world = new CrashWorld()): Promise<ResourceFile> {
  await world.makeDirectory(FOLDER);
  await world.syncDirectory('/');
  await world.syncDirectory('/state');
  return ResourceFile.create(world, FOLDER, STATE);
}
const setNext = (nextPoint: number) => (state: ResourceState) => ({ ...state, nextPoint });
const load = (world: CrashWorld): Promise<ResourceFile> => ResourceFile.load(world, FOLDER);

describe('resource.json', () => {
  test('what was updated is loaded, from both copies alike', async () => {
    const world = new CrashWorld();
    const file = await made(world);
    assert.equal(file.state.generation, 1);
    await file.update(setNext(7));
    const again = await load(world.afterCrash('all', seededRandom(1)));
    assert.deepEqual(again.state, { ...STATE, nextPoint: 7, generation: 2 });
    assert.equal(again.copiesAgreed, true);
    assert.deepEqual(world.peek(FIRST), world.peek(SECOND));
  });

  test('updates that overlap follow each other', async () => {
    const world = new CrashWorld();
    const file = await made(world);
    const more = (state: ResourceState) => ({ ...state, nextPoint: state.nextPoint + 1 });
    await Promise.all(Array.from({ length: 10 }, () => file.update(more)));
    assert.equal((await load(world)).state.nextPoint, 11);
  });

  test('what is owed stands with the next update that succeeds, and only once', async () => {
    const world = new CrashWorld();
    const file = await made(world);
    const more = (state: ResourceState) => ({ ...state, nextPoint: state.nextPoint + 1 });
    world.failNext({ operation: 'rename' }, 'EIO', 2);
    await assert.rejects(file.owe((state) => ({ ...more(state), doubt: 'why' })));
    await assert.rejects(file.update(setNext(500)));
    assert.equal(file.state.doubt, null);
    await file.update(more);
    assert.deepEqual([file.state.doubt, file.state.nextPoint], ['why', STATE.nextPoint + 2]);
    await file.update((state) => ({ ...state, doubt: null }));
    const { doubt, nextPoint } = (await load(world)).state;
    assert.deepEqual([doubt, nextPoint], [null, STATE.nextPoint + 2]);
  });

  test('after a crash at every step: the old or the new, and after its end the new', async (t) => {
    t.diagnostic(`HAST_SEED=${SEED}`);
    const crashes = await eachCrash(SEED, {
      prepare: async (world) => void (await made(world)),
      work: async (world) => {
        const file = await load(world);
        await file.update(setNext(2));
        await file.update(setNext(3));
      },
      check: async (left, { done, where }) => {
        const { state } = await load(left);
        assert.ok(state.nextPoint === 3 || (!done && state.nextPoint < 3), where);
        assert.equal(state.generation, state.nextPoint, where);
      },
    });
    t.diagnostic(`${crashes} crashes`);
  });

  for (const [name, path] of [
    ['first', FIRST],
    ['second', SECOND],
  ] as const) {
    test(`with the ${name} copy damaged or gone the other is used, and that is said`, async () => {
      for (const spoil of ['flip', 'empty', 'remove', 'unreadable'] as const) {
        const world = new CrashWorld();
        await (await made(world)).update(setNext(9));
        if (spoil === 'flip') world.flip(path, 200);
        else if (spoil === 'empty') world.plant(path, new Uint8Array(0));
        else if (spoil === 'remove') await world.remove(path);
        else world.failNext({ operation: 'read', path }, 'EIO');
        const file = await load(world);
        assert.equal(file.state.nextPoint, 9, spoil);
        assert.equal(file.copiesAgreed, false, spoil);
        await file.update(setNext(10));
        assert.equal((await load(world)).copiesAgreed, true);
      }
    });
  }

  test('of two whole copies the newer one is used, whichever it is', async () => {
    for (const path of [FIRST, SECOND]) {
      const world = new CrashWorld();
      const file = await made(world);
      const old = world.peek(path);
      assert.ok(old);
      await file.update(setNext(5));
      world.plant(path, old);
      const again = await load(world);
      assert.equal(again.state.nextPoint, 5);
      assert.equal(again.copiesAgreed, false);
    }
  });

  test('both damaged is one error, none there another', async () => {
    const world = new CrashWorld();
    await made(world);
    for (const path of [FIRST, SECOND]) world.flip(path, 60);
    const coded = (code: string) => (error: unknown) => codeOf(error) === code;
    await assert.rejects(load(world), coded('STATE_UNREADABLE'));
    for (const path of [FIRST, SECOND]) await world.remove(path);
    await assert.rejects(load(world), coded('STATE_MISSING'));
  });

  test('of another version is another error, unless a copy of this one is whole', async () => {
    const world = new CrashWorld();
    await made(world);
    const whole = world.peek(FIRST);
    assert.ok(whole);
    const text = Buffer.from(whole).toString();
    const older = Buffer.from(text.replace('hast resource 1 ', 'hast resource 0 '));
    const foreign = (error: unknown): boolean => {
      assert.equal(codeOf(error), 'FORMAT_VERSION');
      assert.match(String(error), /resource\.json.*of version 0; .* reads version 1 .*--force/);
      return true;
    };
    for (const [first, second] of [
      [older, older],
      [older, older.subarray(40)],
      [older.subarray(40), older],
      [older, null],
    ] as const) {
      world.plant(FIRST, first);
      if (second === null) await world.remove(SECOND);
      else world.plant(SECOND, second);
      await assert.rejects(load(world), foreign);
    }
    world.plant(SECOND, whole);
    const file = await load(world);
    assert.deepEqual([file.state.generation, file.copiesAgreed], [1, false]);
    assert.match(file.trouble ?? '', /of version 0/);
  });

  test('an update that fails keeps the state in memory', async () => {
    for (const failing of ['create', 'write', 'sync', 'rename', 'syncDirectory'] as const) {
      const world = new CrashWorld();
      const file = await made(world);
      world.failNext({ operation: failing }, 'EIO');
      await assert.rejects(file.update(setNext(5)));
      assert.equal(file.state.nextPoint, 1, failing);
      await file.update(setNext(6));
      const again = await load(world.afterCrash('all', seededRandom(1)));
      assert.equal(again.state.nextPoint, 6, failing);
    }
  });

  test('two different states never have one generation', async (t) => {
    t.diagnostic(`HAST_SEED=${SEED}`);
    // The second copy cannot be made durable; the process goes on with another update and crashes.
    await eachCrash(SEED, {
      prepare: async (world) => void (await made(world)),
      work: async (world) => {
        const file = await load(world);
        const parts = { operation: 'syncDirectory' as const, path: FOLDER };
        let syncs = 0;
        const { enter } = world;
        world.enter = (operation, path, kind, note) => {
          const second = operation === 'syncDirectory' && syncs === 1;
          if (second) world.failNext(parts, 'EIO');
          if (operation === 'syncDirectory') syncs += 1;
          enter.call(world, operation, path, kind, note);
        };
        await file.update(setNext(2)).catch(() => {});
        await file.update(setNext(3));
      },
      check: async (left, { where }) => {
        const file = await load(left);
        const [one, two] = [left.peek(FIRST), left.peek(SECOND)];
        const same = one !== null && two !== null && Buffer.compare(one, two) === 0;
        assert.equal(file.copiesAgreed, same, where);
      },
    });
  });
});
