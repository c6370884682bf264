// Gathered: who asks is served by a run that began afterwards (W3, H10); errors reach those whom
// the run served, and nobody else. HoldTimes over rows that several threads write.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Deferred, deferred } from '../../src/base/sync.js';
import { Gathered } from '../../src/volume/gathered.js';
import { HISTOGRAM_BYTES, HoldTimes } from '../../src/volume/hold-times.js';

function held() {
  const runs: Deferred<void>[] = [];
  const gathered = new Gathered(() => {
    const run = deferred<void>();
    runs.push(run);
    return run.promise;
  });
  return { gathered, runs };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Gathered', () => {
  test('those who come while it runs share the next run', async () => {
    const { gathered, runs } = held();
    assert.equal(gathered.idle, true);
    const done: string[] = [];
    const run = (name: string) => gathered.run().then(() => done.push(name));
    const all = [run('a'), run('b'), run('c')];
    assert.deepEqual([runs.length, gathered.idle], [1, false]);
    runs[0]?.resolve();
    await turn();
    assert.deepEqual([done, runs.length], [['a'], 2]);
    all.push(run('d'));
    runs[1]?.resolve();
    await turn();
    assert.deepEqual([done, runs.length], [['a', 'b', 'c'], 3]);
    runs[2]?.resolve();
    await Promise.all(all);
    assert.equal(gathered.idle, true);
  });

  test('a failure is of its own run', async () => {
    const { gathered, runs } = held();
    const first = assert.rejects(gathered.run(), /one/);
    const second = gathered.run();
    runs[0]?.reject(new Error('one'));
    await first;
    await turn();
    runs[1]?.resolve();
    await second;
    const third = gathered.run();
    runs[2]?.resolve();
    await third;
  });

  test('whenever one comes between two runs, a later one serves it', async () => {
    for (let turns = 0; turns < 8; turns += 1) {
      const { gathered, runs } = held();
      const all = [gathered.run(), gathered.run()];
      runs[0]?.resolve();
      for (let at = 0; at < turns; at += 1) await Promise.resolve();
      const begun = runs.length;
      let served = false;
      const late = gathered.run().then(() => {
        served = true;
      });
      all.push(late);
      await turn();
      for (let at = 0; at < begun; at += 1) runs[at]?.resolve();
      await turn();
      assert.ok(!served || runs.length > begun, `after ${turns} turns`);
      for (const run of runs) run.resolve();
      await turn();
      for (const run of runs) run.resolve();
      await Promise.all(all);
    }
  });

  test("an error nobody waits for any more is nobody's unhandled rejection", async () => {
    const { gathered, runs } = held();
    const first = gathered.run().catch(() => 'heard');
    const second = gathered.run().catch(() => 'heard');
    runs[0]?.reject(new Error('one'));
    await turn();
    runs[1]?.reject(new Error('two'));
    assert.deepEqual(await Promise.all([first, second]), ['heard', 'heard']);
  });
});

describe('HoldTimes of several threads', () => {
  const rows = 3;
  const memory = (): SharedArrayBuffer => new SharedArrayBuffer(rows * HISTOGRAM_BYTES);

  test('each writes its own row, all are read as one', () => {
    const shared = memory();
    const mine = Array.from(
      { length: rows },
      (_, row) => new HoldTimes([HoldTimes.row(shared, row)]),
    );
    const all = HoldTimes.all(shared);
    assert.deepEqual([all.count, all.maxMicros, all.quantileMicros(0.5)], [0, 0, 0]);
    mine.forEach((times, row) => {
      for (let turns = 0; turns <= row; turns += 1) times.add(row === 2 ? 50 : 0.003);
    });
    assert.equal(all.count, 6);
    assert.equal(all.maxMicros, 50_000);
    assert.equal(all.quantileMicros(0.5), 4);
    assert.equal(all.quantileMicros(0.51), 50_000);
    assert.deepEqual(
      mine.map(({ count }) => count),
      [1, 2, 3],
    );
    assert.deepEqual(
      mine.map(({ maxMicros }) => maxMicros),
      [3, 3, 50_000],
    );
  });

  test('a wait of days is in the last bucket', () => {
    const times = new HoldTimes();
    times.add(4 * 86_400_000);
    assert.equal(times.count, 1);
    assert.equal(times.quantileMicros(1), Math.min(2 ** 32, times.maxMicros));
    assert.equal(times.maxMicros, 4 * 86_400_000_000);
  });
});
