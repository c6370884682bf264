// What else stands in the state directory or is read on the way to a session: the round log, the
// digests a round keeps aside, a whole directory as hastctl dump reads it, and the door for peers.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { systemClock } from '../../../src/base/clock.js';
import { isZero } from '../../../src/base/digest.js';
import { HastError } from '../../../src/base/errors.js';
import { deferred } from '../../../src/base/sync.js';
import { MIB } from '../../../src/base/units.js';
import { dumpResource } from '../../../src/care/dump.js';
import { renderDump } from '../../../src/cli/render-dump.js';
import { renderRounds } from '../../../src/cli/render-tables.js';
import { jsonText } from '../../../src/control/error-body.js';
import { achievedBy } from '../../../src/daemon/estimate.js';
import { RoundLog, readRecords } from '../../../src/daemon/round-log.js';
import { encodeResourceState } from '../../../src/format/resource-state.js';
import { dialPeer } from '../../../src/net/connect.js';
import { listenForPeers } from '../../../src/net/listen.js';
import { EntryLog } from '../../../src/tracking/entry-log.js';
import { round } from '../../control/fake-api.js';
import { MemoryHandle } from '../../format/material.js';
import { SECRET } from '../../net/pairs.js';
import { CrashWorld } from '../../world/memory-files.js';
import { decided, type Opened, pure, type Target, type Verdict } from '../target.js';
import { dirtyFile, FULL_STATE, mendDirty, mendState } from './state.js';
import { intentFile, mendIntent, mendTable, tableFile } from './tables.js';

const LINES = [round(), round({ error: 'x', point: null }), round({ cutTime: null, sentBytes: 0 })]
  .map((one) => `${JSON.stringify(one)}\n`)
  .join('');

const roundLog: Target = {
  name: 'round-log',
  kind: 'json',
  inputBytesMax: 8192,
  onceBytesMax: MIB,
  totalBytesMax: 4 * MIB,
  words: ['id', 'target', 'seconds', 'outcome', 'committed', '\n', 'wireUpBytes'],
  seeds: () => [Buffer.from(LINES)],
  open: pure(async (input): Promise<Verdict> => {
    const world = new CrashWorld();
    world.plant('/rounds.jsonl', input);
    const records = await readRecords(world, '/rounds.jsonl');
    renderRounds('vm1', records);
    const achieved = achievedBy(records, 'b');
    assert.ok(achieved === null || typeof achieved.ratio === 'number');
    const log = await RoundLog.open(world, '/rounds.jsonl');
    await log.add(round({ id: 'new' }));
    await log.close();
    const again = await readRecords(world, '/rounds.jsonl');
    assert.equal(again.length, records.length + 1, 'the others stay, the new one is whole');
    assert.equal(again.at(-1)?.id, 'new');
    return records.length > 0 ? 'accepted' : 'refused';
  }),
};

const entriesOf = (count: number): Uint8Array => {
  const bytes = Buffer.alloc(20 * count);
  for (let at = 0; at < count; at += 1) bytes.writeUInt32LE(at, 20 * at);
  return bytes;
};

/** What the medium gives back is not what was written: refused, never handed out as entries. */
const entryLog: Target = {
  name: 'entry-log',
  kind: 'bytes',
  inputBytesMax: 2000,
  onceBytesMax: MIB,
  totalBytesMax: MIB,
  seeds: () => [entriesOf(1), entriesOf(10), new Uint8Array(200).fill(7)],
  open: pure(async (input): Promise<Verdict> => {
    const handle = new MemoryHandle();
    const log = new EntryLog(handle);
    await log.empty();
    const wanted = Math.floor(input.length / 20);
    for (let at = 0; at < wanted; at += 1) log.add(at, new Uint8Array(16));
    await log.replay(() => {});
    handle.bytes = new Uint8Array(input);
    let entries = 0;
    const replayed = () =>
      log.replay((chunk, digest) => {
        assert.ok(chunk === entries && digest.length === 16 && isZero(digest), 'as written');
        entries += 1;
      });
    return decided('memory', replayed, () => assert.equal(entries, wanted));
  }),
};

const STATE = Buffer.from(encodeResourceState(FULL_STATE));
const FOLDER: readonly (readonly [name: string, content: Uint8Array])[] = [
  ['resource.json', STATE],
  ['intent.map', intentFile()],
  ['b.dirty', dirtyFile()],
  ['b.digests', tableFile()],
  ['rounds.jsonl', Buffer.from(LINES)],
];

/** Input: one byte that says which file, then its content. */
const dump: Target = {
  name: 'dump',
  kind: 'json',
  inputBytesMax: 20_000,
  onceBytesMax: 2 * MIB,
  totalBytesMax: 64 * MIB,
  seeds: () => FOLDER.map(([, content], at) => Buffer.concat([Uint8Array.of(at), content])),
  mend: (input, random) => {
    const content = new Uint8Array(input.subarray(1));
    const mends = [mendState, mendIntent, mendDirty, mendTable];
    const mended = mends[input[0] ?? 0]?.(content, random) ?? content;
    return Buffer.concat([input.subarray(0, 1), mended]);
  },
  open: pure(async (input): Promise<Verdict> => {
    const world = new CrashWorld();
    for (const [name, content] of FOLDER) world.plant(`/state/${name}`, content);
    const [name] = FOLDER[(input[0] ?? 0) % FOLDER.length] ?? ['x'];
    world.plant(`/state/${name}`, input.subarray(1));
    try {
      const found = await dumpResource(world, '/state');
      assert.ok(renderDump(found).length > 0 && jsonText(found).length > 0);
      return 'accepted';
    } catch (error) {
      if (error instanceof HastError) return 'refused';
      throw error;
    }
  }),
};

/** The first bytes of a TLS client with our key, as they are on the wire. */
async function clientHello(): Promise<Uint8Array> {
  const got: Buffer[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (piece) => {
      got.push(piece);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  await dial(port).catch(() => {});
  server.close();
  return Buffer.concat(got);
}

const dial = (port: number) =>
  dialPeer(
    {
      remote: `tcp://127.0.0.1:${port}`,
      source: null,
      timeoutMs: 5000,
      security: { kind: 'psk', resource: 'vm1', secret: SECRET },
    },
    { clock: systemClock },
  );

async function openDoor(): Promise<Opened> {
  const refused: unknown[] = [];
  let admitted = deferred<void>();
  const listener = await listenForPeers(
    { address: 'tcp://127.0.0.1:0', handshakeTimeoutMs: 5000 },
    {
      secretOf: (resource) => (resource === 'vm1' ? SECRET : null),
      connected: async ({ stream, identity }) => {
        if (identity === null) while ((await stream.read().catch(() => null)) !== null);
        else admitted.resolve();
        stream.destroy('that is all');
      },
      refused: (error) => refused.push(error),
    },
  );
  return {
    run: async (input) => {
      await new Promise<void>((resolve) => {
        const socket = connect({ host: '127.0.0.1', port: listener.port });
        socket.on('error', () => {});
        socket.on('close', () => resolve());
        socket.resume();
        socket.end(input);
      });
      for (const error of refused.splice(0)) assert.ok(error instanceof HastError);
      admitted = deferred();
      const stream = await dial(listener.port);
      // Who has the key is let in; else the watchdog ends this.
      await admitted.promise;
      stream.destroy('let in');
      return input[0] === 0x16 ? 'refused' : 'accepted';
    },
    close: () => listener.close(),
  };
}

const HELLO = await clientHello();

const door: Target = {
  name: 'peer-door',
  kind: 'bytes',
  inputBytesMax: 2000,
  onceBytesMax: MIB,
  totalBytesMax: 8 * MIB,
  seeds: () => [HELLO, Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  open: openDoor,
};

export const FOLDER_TARGETS: readonly Target[] = [roundLog, entryLog, dump, door];
