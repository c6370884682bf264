// A full disk on either side, as small tmpfs folders: what cannot be kept is refused with numbers
// or fails with the path, guests go on (W4), and with room again one round makes all good.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { needRoot, needTool } from '../real.js';
import { MIB, makeImage, qemuIo, seededBytes, succeed } from './images.js';
import { smallFileSystem } from './mounts.js';
import { finish, makePair, type Pair } from './nodes.js';
import { create, failedRound, nothingLost, round, takeRole, targetOf, until } from './steps.js';

const DISK_BYTES = 32 * MIB;

interface Place {
  /** The text of the configuration that is replaced by a path on the small file system. */
  readonly path: (folder: string) => string;
  readonly bytes: number;
  readonly config?: string;
}

/** A pair of which one path lies on a small file system; both run, a is primary. */
async function crampedPair(t: TestContext, place: Place): Promise<Pair & { small: string }> {
  const pair = await makePair(t, { sizeBytes: 0, config: `interval 1h  ${place.config ?? ''}` });
  const small = await smallFileSystem(t, place.bytes);
  const text = readFileSync(pair.config, 'utf8');
  const from = place.path(pair.folder);
  assert.ok(text.includes(from), from);
  writeFileSync(pair.config, text.replace(from, `${from.split(' ')[0]} ${small}/it `));
  await Promise.all([pair.a.hastd(), pair.b.hastd()]);
  await create(pair.a, DISK_BYTES);
  await create(pair.b);
  await takeRole(pair.b, 'secondary');
  await takeRole(pair.a, 'primary');
  return { ...pair, small };
}

const enlarge = (folder: string, bytes: number) =>
  succeed('mount', '-o', `remount,size=${bytes}`, folder);

/** Fills a file system to the last page but `leaveBytes`. */
function fill(folder: string, leaveBytes: number): string {
  const { bavail, bsize } = statfsSync(folder);
  const path = join(folder, 'filler');
  writeFileSync(path, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
  return path;
}

/** Seeded bytes through the export. */
async function guestWrites(pair: Pair, offset: number, bytes: number, seed: number): Promise<void> {
  const source = join(pair.folder, `writes-${seed}`);
  writeFileSync(source, seededBytes(seed, bytes));
  await qemuIo(pair.a.nbdUri, `write -s ${source} ${offset} ${bytes}`, 'flush');
}

test("the replica's state directory is full: refused with numbers, nothing sent", async (t) => {
  if (!needTool(t, 'qemu-io') || !needRoot(t)) return;
  const path = (folder: string): string => `statedir ${folder}/b `;
  const pair = await crampedPair(t, { path, bytes: 8 * MIB });
  await round(pair.a);
  await guestWrites(pair, 0, 6 * MIB, 1);
  const { status, stdout, stderr } = await pair.a.ctl('sync', 'vm1', '--wait');
  assert.equal(status, 6);
  assert.match(stdout + stderr, /no-space.*may need 1[23]\.\d MiB in .*ENOSPC/);
  assert.equal((await targetOf(pair.a)).lastError?.code, 'TARGET_REFUSED');
  assert.equal((await targetOf(pair.a)).dirtyBytes, 6 * MIB, 'what was dirty is dirty');
  const { rounds } = await pair.a.control.rounds('vm1');
  assert.equal(rounds.at(-1)?.outcome, 'refused');
  assert.equal(rounds.at(-1)?.sentBytes, 0, 'nothing was sent in vain');
  await enlarge(pair.small, 64 * MIB);
  await nothingLost(pair);
  assert.equal((await targetOf(pair.a)).lastError, null);
});

test("the replica's disk is full: the point is kept and applied when there is room", async (t) => {
  if (!needTool(t, 'qemu-io') || !needRoot(t)) return;
  const path = (folder: string): string => `local ${folder}/b.img `;
  const pair = await crampedPair(t, { path, bytes: 4 * MIB });
  const { a, b, small } = pair;
  await guestWrites(pair, 0, 6 * MIB, 2);
  assert.match(await failedRound(a), /ENOSPC/, 'the first copy does not fit');
  await enlarge(small, 8 * MIB);
  await round(a);
  await guestWrites(pair, 10 * MIB, 6 * MIB, 3);
  assert.match(await failedRound(a), /could not be written to the disk.*ENOSPC/);
  await guestWrites(pair, 20 * MIB, MIB, 4);
  assert.match(await failedRound(a), /apply-failed/, 'the next round waits for it');
  await enlarge(small, 64 * MIB);
  await takeRole(b, 'init');
  await takeRole(b, 'secondary');
  await until('a is connected again', async () => (await targetOf(a)).link === 'up');
  await nothingLost({ ...pair, b: Object.assign(Object.create(b), { image: join(small, 'it') }) });
});

/** Starts a round that stands right after its cut, at BEGIN, because hastd of b is stopped; `goOn`
 * lets b work again. */
async function heldRound(t: TestContext, pair: Pair) {
  const { a, b } = pair;
  const pid = b.pid ?? 0;
  process.kill(pid, 'SIGSTOP');
  t.after(() => finish('kill', ['-CONT', String(pid)]));
  const failing = failedRound(a);
  failing.catch(() => undefined); // it is waited for later
  // An overwritten byte is kept aside only once the cut has been made.
  await until('the cut', async () => {
    await qemuIo(a.nbdUri, 'write -P 0x99 0 512');
    const { resources } = await a.control.status(['vm1']);
    return (resources[0]?.spillBytes ?? 0) > 0;
  });
  return { failing, goOn: () => process.kill(pid, 'SIGCONT') };
}

test("the primary's spill is full: the guest writes on, the next round works", async (t) => {
  if (!needTool(t, 'qemu-io') || !needRoot(t)) return;
  const path = (folder: string): string => `statedir ${folder}/b `;
  const pair = await crampedPair(t, { path, bytes: 256 * MIB, config: 'spill 1M' });
  await round(pair.a);
  await guestWrites(pair, 0, 8 * MIB, 5);
  const { failing, goOn } = await heldRound(t, pair);
  await guestWrites(pair, 0, 4 * MIB, 6);
  goOn();
  assert.match(await failing, /spill \(1048576 bytes\).*no guest write was held.*raise "spill"/);
  assert.equal((await targetOf(pair.a)).lastError?.code, 'ROUND_SPILL_FULL');
  await nothingLost(pair);
});

test("the primary's state directory is full: guests write, rounds name the path", async (t) => {
  if (!needTool(t, 'qemu-io') || !needRoot(t)) return;
  const path = (folder: string): string => `statedir ${folder}/a `;
  const pair = await crampedPair(t, { path, bytes: 64 * MIB });
  const { a, small } = pair;
  await round(a);
  // The first guest of an epoch is served only after that is on disk (H37) ...
  const early = fill(small, 0);
  const refused = await finish('qemu-io', ['-f', 'raw', '-c', 'write 0 512', a.nbdUri]);
  assert.notEqual(refused.status, 0);
  assert.match(a.log(), /resource\.json.*ENOSPC.*an NBD client could not be served/);
  rmSync(early);
  // ... and after that a full directory is nothing to a guest (W4).
  await guestWrites(pair, MIB, MIB, 6);
  const filler = fill(small, 0);
  await guestWrites(pair, 3 * MIB, 2 * MIB, 7);
  assert.match(await failedRound(a), /it\/vm1\/.*ENOSPC/);
  await guestWrites(pair, 4 * MIB, 3 * MIB, 8);
  assert.match((await targetOf(a)).lastError?.text ?? '', /it\/vm1\/.*ENOSPC/);
  rmSync(filler);
  await nothingLost(pair);
  const again = fill(small, 0);
  await guestWrites(pair, 9 * MIB, MIB, 9);
  assert.equal(await a.kill('SIGTERM'), 74, 'it ends, and says that it could not note all');
  assert.match(a.log(), /hastd: .*it\/vm1\/.*ENOSPC/);
  rmSync(again);
  await a.hastd();
  await takeRole(a, 'primary');
  await nothingLost(pair);
});

test('full between commit and table (ladder step 7): the next round finds out', async (t) => {
  if (!needTool(t, 'qemu-io') || !needRoot(t)) return;
  const path = (folder: string): string => `statedir ${folder}/a `;
  const pair = await crampedPair(t, { path, bytes: 64 * MIB });
  const { a, small } = pair;
  await round(a);
  await guestWrites(pair, 0, MIB, 10);
  const { failing, goOn } = await heldRound(t, pair);
  const filler = fill(small, 0);
  goOn();
  assert.match(await failing, /it\/vm1\/.*ENOSPC/);
  rmSync(filler);
  await guestWrites(pair, 2 * MIB, MIB, 11);
  await nothingLost(pair);
  assert.equal((await targetOf(a)).data, 'clean');
  assert.equal((await targetOf(a)).lastError, null);
});

test("the primary's disk is full: the guest is told ENOSPC, nothing else suffers", async (t) => {
  if (!needTool(t, 'qemu-io') || !needRoot(t)) return;
  const path = (folder: string): string => `local ${folder}/a.img `;
  const pair = await crampedPair(t, { path, bytes: 6 * MIB });
  const image = join(pair.small, 'it');
  await guestWrites(pair, 0, 4 * MIB, 10);
  const refused = await finish('qemu-io', [
    ...['-f', 'raw', '-c', 'write -P 1 10M 8M', '-c', 'write -P 2 0 64k', pair.a.nbdUri],
  ]);
  assert.match(refused.stdout + refused.stderr, /No space left on device/);
  const onReplica = { ...pair, a: Object.assign(Object.create(pair.a), { image }) };
  await nothingLost(onReplica);
  await enlarge(pair.small, 64 * MIB);
  await qemuIo(pair.a.nbdUri, 'write -P 1 10M 8M', 'flush');
  await nothingLost(onReplica);
});

test('a sparse image larger than its file system is adopted as it stands', async (t) => {
  if (!needRoot(t)) return;
  const pair = await makePair(t, { sizeBytes: 0 });
  const small = await smallFileSystem(t, 4 * MIB);
  const image = join(small, 'sparse');
  makeImage(image, 64 * MIB, MIB);
  const text = readFileSync(pair.config, 'utf8');
  writeFileSync(pair.config, text.replace(pair.a.image, image));
  await pair.a.hastd();
  await create(pair.a);
  await takeRole(pair.a, 'primary');
  const { resources } = await pair.a.control.status(['vm1']);
  assert.equal(resources[0]?.sizeBytes, 64 * MIB);
});
