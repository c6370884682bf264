// Two hosts that write one archive. A primary that is cut off and its promoted replica: from the
// first round of the new one on the old one adds nothing, and says why. A host and its clone, with
// a copy of the same state: one wins at each place, the other is refused. Whatever happened, each
// point of the archive is the disk of the node that made it, and nothing is mixed.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Random, seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import type { SyncAnswer } from '../../src/control/api.js';
import { directoryPlace, type Place, strictPlace } from './archive-places.js';
import { ARCHIVE } from './archive-scene.js';
import { seedFromEnv } from './guest.js';
import { qemuIo } from './images.js';
import { freePort, RealNode } from './nodes.js';
import { create, takeRole, until } from './steps.js';
import { TamperProxy } from './tamper-proxy.js';
import { never, target, write } from './trio-steps.js';

const SEED = seedFromEnv();
const SIZE = 8 * MIB;
const FIGHTS = 3;
/** Rounds at the same moment in which the old primary is faster, at most. */
const BEGINS_MAX = 20;
/** Of one write in a fight. */
const WRITE_BYTES = 256 * 1024;

type Outcome = SyncAnswer['outcomes'][number];

/** A new folder; what `nodes` has then is killed after the test. */
function arena(t: TestContext, nodes: readonly RealNode[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'hast-'));
  t.after(async () => {
    for (const node of nodes) await node.kill('SIGKILL');
    if (process.env['HAST_KEEP'] === '1') t.diagnostic(`kept: ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** What each node has made of the archive, by number of the point: the disk at its round. */
class Claims {
  readonly #folder: string;
  readonly #place: Place;
  readonly #images = new Map<number, { readonly node: RealNode; readonly image: Buffer }>();
  /** Both believed that the point is theirs. */
  readonly both: number[] = [];

  constructor(folder: string, place: Place) {
    this.#folder = folder;
    this.#place = place;
  }

  /** A round of a node whose guest is still; a point that it made is entered. */
  async round(node: RealNode): Promise<Outcome> {
    const image = readFileSync(node.image);
    const { outcomes } = await node.control.sync('vm1', { wait: 'applied' }, never());
    const outcome = outcomes.find((each) => each.target === ARCHIVE);
    assert.ok(outcome !== undefined);
    const { point } = outcome;
    if (outcome.outcome !== 'applied' || point === null) return outcome;
    if (this.#images.has(point)) this.both.push(point);
    this.#images.set(point, { node, image });
    return outcome;
  }

  makerOf(point: number): RealNode | undefined {
    return this.#images.get(point)?.node;
  }

  /** Every point of the archive is the disk of the node that made it; numbers, oldest first. */
  async areTrue(): Promise<readonly number[]> {
    assert.deepEqual(this.both, [], 'no point was made twice');
    const [{ node } = assert.fail('there are points')] = [...this.#images.values()];
    const url = `${this.#place.url}/vm1`;
    const ask = async (...args: readonly string[]): Promise<unknown> => {
      const done = await node.ctl('--json', ...args, ...this.#place.flags);
      assert.equal(done.status, 0, `${args.join(' ')}: ${done.stderr}`);
      return done.json;
    };
    const { points } = (await ask('points', url)) as { points: { number: number }[] };
    for (const { number } of points) {
      const path = join(this.#folder, 'restored');
      await ask('restore', `${url}@${number}`, path);
      const claim = this.#images.get(number);
      assert.ok(claim, `somebody made point ${number}`);
      assert.ok(readFileSync(path).equals(claim.image), `point ${number} is of ${claim.node.name}`);
      rmSync(path);
    }
    await ask('verify', url);
    assert.equal(points.length, this.#images.size, 'what was made is there');
    return points.map(({ number }) => number);
  }
}

/** One write of each guest, the same place as often as not, and the rounds of both at once. */
async function fight(claims: Claims, nodes: readonly RealNode[], random: Random) {
  for (const node of nodes) {
    const offset = random.below(SIZE / WRITE_BYTES) * WRITE_BYTES;
    await write(node, offset, WRITE_BYTES, 1 + random.below(2 ** 30));
  }
  return Promise.all(nodes.map((node) => claims.round(node)));
}

const OVERTAKEN = /another node has written this archive|written by another primary/;

async function isRefused(node: RealNode): Promise<void> {
  // The next contact tells.
  const look = async () => (await target(node, ARCHIVE)).data === 'diverged';
  await until('it is refused for good', look, 60_000);
  const { data, state, lastError } = await target(node, ARCHIVE);
  assert.deepEqual([data, state], ['diverged', 'diverged'], JSON.stringify(lastError));
  assert.equal(lastError?.code, 'TARGET_DIVERGED');
  assert.match(lastError.text, /written by another primary, or this node was set back/);
  const check = await node.ctl('status', '--check', 'vm1');
  assert.equal(check.status, 2, 'critical');
  assert.match(check.stdout, /off diverged: no data moves.*written by another primary/);
  // Its guest knows nothing of it.
  await qemuIo(node.nbdUri, 'write -P 5 0 64k', 'flush', 'read -P 5 0 64k');
}

test('a primary that was cut off, and its promoted replica, on one archive', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const random = seededRandom(SEED);
  const { place } = await strictPlace(t);
  const nodes: RealNode[] = [];
  const folder = arena(t, nodes);
  const [portA, portB] = [await freePort(), await freePort()];
  const links = [await TamperProxy.start(portA), await TamperProxy.start(portB)];
  t.after(() => {
    for (const link of links) link.close();
  });
  const [toA, toB] = links.map(({ port }) => port);
  const config = join(folder, 'hast.conf');
  const on = (name: string, port: number): string =>
    `on ${name} { statedir ${folder}/${name}  control unix://${folder}/${name}.ctl  ` +
    `export unix://${folder}/${name}.nbd  listen tcp://127.0.0.1:${port}  ` +
    `pidfile ${folder}/${name}.pid }\n`;
  const lines = [
    on('a', portA),
    on('b', portB),
    `resource vm1 {\n  interval 24h\n  timeout 20\n  secret ${folder}/hast.key\n`,
    `  on a { local ${folder}/a.img  remote tcp://127.0.0.1:${toB} }\n`,
    `  on b { local ${folder}/b.img  remote tcp://127.0.0.1:${toA} }\n`,
    `  archive ${ARCHIVE} {\n    ${place.statements}\n  }\n}\n`,
  ];
  writeFileSync(config, lines.join(''));
  const [a, b] = [new RealNode('a', folder, config, []), new RealNode('b', folder, config, [])];
  nodes.push(a, b);
  await a.ask('keygen', `${folder}/hast.key`);
  await Promise.all([a.hastd(), b.hastd()]);
  await create(a, SIZE);
  await create(b);
  await takeRole(b, 'secondary');
  await takeRole(a, 'primary');
  const claims = new Claims(folder, place);
  await write(a, 0, 4 * MIB, SEED + 1);
  for (let round = 0; round < 2; round += 1) {
    await write(a, round * MIB, MIB / 2, SEED + 2 + round);
    assert.equal((await claims.round(a)).outcome, 'applied');
  }
  for (const link of links) {
    link.closed = true;
    link.cut();
  }
  await write(a, 5 * MIB, MIB, SEED + 9);
  assert.equal((await claims.round(a)).outcome, 'applied', 'it reaches the store');
  await b.ask('role', 'primary', '--accept-loss', 'vm1');
  const said: string[] = [];
  // a may be faster as long as b has not begun; how long b takes from then on does not matter.
  let ofB = 0;
  for (let round = 0; ofB < FIGHTS; round += 1) {
    assert.ok(round < FIGHTS + BEGINS_MAX, said.join('\n'));
    const [one, other] = await fight(claims, [a, b], random);
    assert.ok(one && other);
    said.push(`a: ${one.outcome}: ${one.text}`, `b: ${other.outcome}: ${other.text}`);
    for (const { outcome, text } of [one, other]) {
      if (outcome !== 'applied') assert.match(text, OVERTAKEN);
    }
    const now = [one.outcome, other.outcome];
    if (ofB > 0) assert.deepEqual(now, ['failed', 'applied'], said.join('\n'));
    if (other.outcome === 'applied') ofB += 1;
  }
  for (const line of said) t.diagnostic(line);
  await isRefused(a);
  // The cut-off primary comes home: it does not go on by itself, and the archive stays b's.
  for (const link of links) link.closed = false;
  const [ofA, last] = await fight(claims, [a, b], random);
  assert.deepEqual([ofA?.outcome, last?.outcome], ['failed', 'applied']);
  assert.equal((await target(a, 'b')).state, 'diverged');
  const numbers = await claims.areTrue();
  const itsPoints = numbers.filter((number) => claims.makerOf(number) === b);
  assert.equal(itsPoints.length, ofB + 1);
  assert.deepEqual(numbers.slice(-itsPoints.length), itsPoints, 'all of b stand behind all of a');
});

for (const where of ['a directory', 'a strict S3'] as const) {
  test(`a host and its clone with the same state, on ${where}`, async (t) => {
    t.diagnostic(`HAST_SEED=${SEED}`);
    const random = seededRandom(SEED);
    const nodes: RealNode[] = [];
    const folder = arena(t, nodes);
    const place = where === 'a directory' ? directoryPlace(folder) : (await strictPlace(t)).place;
    const host = async (name: string): Promise<RealNode> => {
      const home = join(folder, name);
      mkdirSync(home, { recursive: true });
      const config = join(home, 'hast.conf');
      const lines = [
        `on a { statedir ${home}/a  control unix://${home}/a.ctl  `,
        `export unix://${home}/a.nbd  listen tcp://127.0.0.1:${await freePort()}  `,
        `pidfile ${home}/a.pid }\n`,
        `resource vm1 {\n  interval 24h\n  on a { local ${home}/a.img }\n`,
        `  archive ${ARCHIVE} {\n    ${place.statements}\n  }\n}\n`,
      ];
      writeFileSync(config, lines.join(''));
      const node = new RealNode('a', home, config, []);
      nodes.push(node);
      return node;
    };
    const one = await host('one');
    const claims = new Claims(folder, place);
    await one.hastd();
    await create(one, SIZE);
    await takeRole(one, 'primary');
    await write(one, 0, 4 * MIB, SEED + 1);
    assert.equal((await claims.round(one)).outcome, 'applied');
    await write(one, MIB, MIB, SEED + 2);
    assert.equal(await one.kill('SIGTERM'), 0);
    cpSync(join(folder, 'one'), join(folder, 'other'), {
      recursive: true,
      filter: (path) => !/\.(ctl|nbd|pid|log)$/.test(path),
    });
    const other = await host('other');
    const both = [one, other];
    for (const node of both) {
      await node.hastd();
      await takeRole(node, 'primary', { alone: true });
    }
    const wins = new Map<RealNode, number>();
    for (let round = 0; round < FIGHTS; round += 1) {
      const outcomes = await fight(claims, round % 2 === 0 ? both : both.toReversed(), random);
      const won = outcomes.filter(({ outcome }) => outcome === 'applied');
      assert.ok(won.length === 1, `one wins at each place: ${JSON.stringify(outcomes)}`);
      const lost = outcomes.find(({ outcome }) => outcome !== 'applied');
      assert.match(lost?.text ?? '', OVERTAKEN);
      const winner = claims.makerOf(won[0]?.point ?? 0);
      assert.ok(winner !== undefined);
      wins.set(winner, (wins.get(winner) ?? 0) + 1);
    }
    t.diagnostic(`one: ${wins.get(one) ?? 0}, the other: ${wins.get(other) ?? 0}`);
    const loser = both.find((node) => !wins.has(node));
    assert.ok(loser !== undefined, 'who was faster once stays so');
    await isRefused(loser);
    assert.equal((await claims.areTrue()).length, 1 + FIGHTS);
  });
}
