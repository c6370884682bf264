// A thin disk, nearly all of it a hole: its first copy passes over what is not there, and hastd
// answers meanwhile; rounds of writes all over it, whose maps give their memory back
// (disk/discard.ts), miss none; and what is restored is as thin, to the block.
import assert from 'node:assert/strict';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, GIB, MIB } from '../../src/base/units.js';
import { Client, CMD } from '../nbd/client.js';
import { seedFromEnv } from './guest.js';
import { RealNode } from './nodes.js';
import { create, round, takeRole, targetOf } from './steps.js';

const SEED = seedFromEnv();
const DISK_BYTES = 256 * GIB;
const START_BYTES = GIB;
const BLOCKS = 200;
const ROUNDS = 3;
/** Of an allocated block of the file systems that tests run on, and of their own tables. */
const SLACK_BYTES = 2 * MIB;
const POLL_MS = 20;

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** A run of a MiB and single blocks at the start of the disk, then nothing but the last block. */
function piecesOf(random: Random): readonly Piece[] {
  const blocks = START_BYTES / BLOCK_BYTES;
  const offsets = Array.from({ length: BLOCKS }, () => random.below(blocks) * BLOCK_BYTES);
  const single = [0, DISK_BYTES - BLOCK_BYTES, ...new Set(offsets)];
  return [
    { offset: START_BYTES + 7 * CHUNK_BYTES, bytes: random.bytes(MIB) },
    ...single.map((offset) => ({ offset, bytes: random.bytes(BLOCK_BYTES) })),
  ];
}

function makeImage(path: string, pieces: readonly Piece[]): void {
  const fd = openSync(path, 'wx');
  ftruncateSync(fd, DISK_BYTES);
  for (const { offset, bytes } of pieces) writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

function mustHave(path: string, pieces: readonly Piece[]): void {
  const fd = openSync(path, 'r');
  for (const { offset, bytes } of pieces) {
    const got = Buffer.alloc(bytes.length);
    readSync(fd, got, 0, got.length, offset);
    assert.ok(got.equals(bytes), `the content at ${offset}`);
  }
  closeSync(fd);
}

/** Single blocks all over the hole, before each round and while it runs; then a last round. */
async function writesAndRounds(node: RealNode, random: Random): Promise<readonly Piece[]> {
  const client = await Client.open({ path: node.nbdSocket }, 'vm1');
  const written = new Map<number, Uint8Array>();
  const blocks = (DISK_BYTES - 2 * START_BYTES) / BLOCK_BYTES;
  const write = async (): Promise<void> => {
    for (let count = 0; count < BLOCKS; count += 1) {
      const again = [...written.keys()][random.below(2 * written.size + 1)];
      const offset = again ?? 2 * START_BYTES + random.below(blocks - 1) * BLOCK_BYTES;
      const bytes = random.bytes(BLOCK_BYTES);
      const { error } = await client.ask({ type: CMD.WRITE, flags: 0, offset }, bytes);
      assert.equal(error, 0, `a write at ${offset}`);
      written.set(offset, bytes);
    }
  };
  for (let rounds = 0; rounds < ROUNDS; rounds += 1) {
    await write();
    await Promise.all([round(node), write()]);
  }
  await round(node);
  client.socket.destroy();
  return [...written].map(([offset, bytes]) => ({ offset, bytes }));
}

test('a thin disk: answers while holes are passed over, restored as thin', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const folder = mkdtempSync(join(tmpdir(), 'hast-'));
  const config = join(folder, 'hast.conf');
  const node = new RealNode('a', folder, config, []);
  t.after(async () => {
    await node.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  mkdirSync(join(folder, 'store'));
  const lines = [
    `on a { statedir ${folder}/a  control unix://${folder}/a.ctl  `,
    `export unix://${folder}/a.nbd  pidfile ${folder}/a.pid }\n`,
    `resource vm1 { interval 24h  on a { local ${folder}/a.img }\n`,
    `  archive off { url file://${folder}/store } }\n`,
  ];
  writeFileSync(config, lines.join(''));
  const random = seededRandom(SEED);
  const pieces = piecesOf(random);
  makeImage(node.image, pieces);
  await node.hastd();
  await create(node);
  await takeRole(node, 'primary');

  const ended = new AbortController();
  const copying = round(node).finally(() => ended.abort());
  let answersMidway = 0;
  while (!ended.signal.aborted) {
    const { round: running } = await targetOf(node);
    const done = running === null ? 0 : running.doneBytes / running.totalBytes;
    // Where there is only the hole.
    if (done > 0.1 && done < 0.9) answersMidway += 1;
    await sleep(POLL_MS);
  }
  await copying;
  assert.ok(answersMidway > 1, `${answersMidway} answers on the way`);

  const written = await writesAndRounds(node, random);
  const restored = join(folder, 'restored.img');
  await node.ask('restore', `file://${folder}/store/vm1@latest`, restored);
  const all = [...pieces, ...written];
  mustHave(restored, all);
  const content = all.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const taken = statSync(restored).blocks * 512;
  assert.equal(statSync(restored).size, DISK_BYTES);
  assert.ok(taken <= content + SLACK_BYTES, `${taken} bytes for ${content} of content`);
});
