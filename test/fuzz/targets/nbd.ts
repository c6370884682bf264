// The guests' side: negotiation as the state machine it is, requests and payloads, and a real
// server (listener and transmission) on a unix socket. Afterwards a well-formed client is served.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { equalBytes } from '../../../src/base/digest.js';
import type { Random } from '../../../src/base/random.js';
import { MIB } from '../../../src/base/units.js';
import { TRANSMISSION_LIMITS } from '../../../src/nbd/limits.js';
import { listenNbd } from '../../../src/nbd/listener.js';
import { Negotiation, type Step } from '../../../src/nbd/negotiation.js';
import { PayloadCutter } from '../../../src/nbd/payload.js';
import { COMMAND, REQUEST_BYTES } from '../../../src/nbd/protocol.js';
import { decodeRequest, Request, refusalOf } from '../../../src/nbd/requests.js';
import { type Connection, serveTransmission } from '../../../src/nbd/transmission.js';
import {
  Client,
  CMD,
  goData,
  metaData,
  OPT,
  option,
  optionReplies,
  request,
  words,
} from '../../nbd/client.js';
import { CONTEXTS, MemoryDisk } from '../../nbd/memory-disk.js';
import { cutUp } from '../../peer/material.js';
import { type Opened, pure, type Target, type Verdict } from '../target.js';

const DISK_BYTES = 256 * 1024;
const EXPORTS = [
  { name: 'vm1', sizeBytes: DISK_BYTES, readOnly: false, contexts: CONTEXTS },
  { name: 'é', sizeBytes: 512, readOnly: true, contexts: [] },
];
const FLAGS = words([32, 3]);
const META = [...CONTEXTS];
const TALKS: readonly (readonly Buffer[])[] = [
  [option(OPT.LIST), option(OPT.INFO, goData('é', 0, 1, 3)), option(OPT.ABORT)],
  [option(OPT.STRUCTURED_REPLY), option(OPT.LIST_META_CONTEXT, metaData('vm1', 'qemu:'))],
  [
    ...[option(OPT.STRUCTURED_REPLY), option(OPT.SET_META_CONTEXT, metaData('vm1', ...META))],
    option(OPT.GO, goData('vm1', 3)),
  ],
  [
    option(OPT.STARTTLS),
    option(77, Buffer.alloc(9000)),
    option(OPT.EXPORT_NAME, Buffer.from('vm1')),
  ],
];

const negotiations = (): Buffer[] => TALKS.map((talk) => Buffer.concat([FLAGS, ...talk]));

/** Lengths of options put right, as far as their magic leads. */
function mendOptions(input: Uint8Array, random: Random): Uint8Array {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.length);
  if (bytes.length >= 4 && random.below(4) > 0) bytes.writeUInt32BE(random.below(4), 0);
  const magic = Buffer.from('IHAVEOPT');
  for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 8)) {
    const next = bytes.indexOf(magic, at + 8);
    const end = next < 0 ? bytes.length : next;
    if (end - at >= 16 && random.below(4) > 0) bytes.writeUInt32BE(end - at - 16, at + 12);
  }
  return input;
}

interface Talk {
  readonly replies: Buffer;
  readonly end: string;
}

function talked(pieces: readonly Uint8Array[]): Talk {
  const negotiation = new Negotiation(() => EXPORTS);
  const replies: Buffer[] = [];
  let end = 'more';
  let rest = 0;
  let step: Step | null = null;
  for (const piece of pieces) {
    if (negotiation.over) {
      rest += piece.length;
      continue;
    }
    step = negotiation.feed(piece);
    replies.push(step.replies);
    if (step.next === 'close') end = `close ${step.reason}`;
    if (step.next !== 'transmit') continue;
    rest = step.leftover.length;
    end = `${step.exportName} ${JSON.stringify(step.agreement)}`;
  }
  return {
    replies: Buffer.concat(replies),
    end: step?.next === 'transmit' ? `${end} ${rest}` : end,
  };
}

const negotiation: Target = {
  name: 'nbd-negotiation',
  kind: 'bytes',
  inputBytesMax: 12_000,
  onceBytesMax: MIB,
  totalBytesMax: 16 * MIB,
  words: ['IHAVEOPT', 'vm1', 'base:allocation', 'qemu:dirty-bitmap:'],
  seeds: negotiations,
  mend: mendOptions,
  open: pure((input): Verdict => {
    const whole = talked([input]);
    const cut = talked(cutUp(input, [1, 2, 5, 90]));
    assert.ok(
      equalBytes(whole.replies, cut.replies),
      'however it is cut, the replies are the same',
    );
    // What follows the end counts as rest, which a piece may have more of.
    assert.equal(cut.end, whole.end);
    if (whole.end !== 'more' && !whole.end.startsWith('close')) return 'accepted';
    // The end of EXPORT_NAME is no packet; all else is.
    optionReplies(whole.replies);
    return 'refused';
  }),
};

const AGREED = { structured: true, contexts: [{ id: 1, name: 'base:allocation' }] };

/** A request, and what follows as its payload, in pieces. */
const requests: Target = {
  name: 'nbd-request',
  kind: 'bytes',
  inputBytesMax: 9000,
  onceBytesMax: MIB,
  totalBytesMax: MIB,
  seeds: () => [
    request({ type: CMD.WRITE, offset: 4096, cookie: 5 }, Buffer.alloc(8192, 7)),
    request({ type: CMD.READ, offset: 0, length: 512 }),
    request({ type: CMD.BLOCK_STATUS, flags: 8, length: 4096 }),
    request({ type: CMD.WRITE_ZEROES, flags: 3, offset: 511, length: 9 }),
  ],
  open: pure((input): Verdict => {
    if (input.length < REQUEST_BYTES) return 'refused';
    const bytes = Buffer.from(input);
    const got = new Request();
    if (!decodeRequest(bytes, 0, got)) return 'refused';
    const { type, flags, offset, length } = got;
    const refusal = refusalOf(got, DISK_BYTES, false, AGREED);
    if (refusal !== 0) return 'refused';
    assert.ok(offset + length <= DISK_BYTES, 'it lies on the disk');
    const fields = { type, flags, offset: bytes.readBigUInt64BE(16), length };
    const cookie = bytes.readBigUInt64BE(8);
    assert.ok(equalBytes(request({ ...fields, cookie }), bytes.subarray(0, REQUEST_BYTES)));
    if (type === COMMAND.WRITE) cutsPayload(bytes.subarray(REQUEST_BYTES), offset, length);
    return 'accepted';
  }),
};

/** The pieces are the payload, once and in order. */
function cutsPayload(payload: Buffer, offset: number, length: number): void {
  const cutter = new PayloadCutter();
  cutter.begin(offset, length);
  const given: Buffer[] = [];
  for (const part of cutUp(payload.subarray(0, length), [1, 4095, 300])) {
    const from = Buffer.from(part);
    for (let at = 0; at < from.length; ) {
      at += cutter.take(from, at, from.length);
      const { piece, pieceOffset } = cutter;
      if (piece === null) continue;
      assert.equal(pieceOffset, offset + Buffer.concat(given).length);
      given.push(Buffer.from(piece));
    }
  }
  const all = Buffer.concat(given);
  assert.ok(equalBytes(all, payload.subarray(0, all.length)));
  if (payload.length >= length) assert.equal(all.length, length);
}

const COMMANDS = [
  request({ type: CMD.WRITE, flags: 1, cookie: 1, offset: 100 }, Buffer.alloc(5000, 3)),
  request({ type: CMD.READ, cookie: 2, offset: 0, length: 65_536 }),
  request({ type: CMD.BLOCK_STATUS, cookie: 3, length: DISK_BYTES }),
  request({ type: CMD.TRIM, cookie: 4, length: 4096 }),
  request({ type: CMD.WRITE_ZEROES, cookie: 5, offset: 512, length: 4096 }),
  request({ type: CMD.CACHE, cookie: 6, length: 512 }),
  request({ type: CMD.FLUSH, cookie: 7 }),
  request({ type: CMD.DISC }),
];

/** Sends bytes and ends; reads past the replies until the server has closed. */
function exchange(path: string, input: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    let got = 0;
    const socket = connect({ path });
    socket.on('data', (piece: Buffer) => {
      got += piece.length;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
    socket.end(input);
  });
}

async function openServer(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'hast-fuzz-'));
  const path = join(folder, 'nbd.sock');
  const disk = new MemoryDisk(DISK_BYTES);
  disk.pace = 'mixed';
  const connections = new Set<Connection>();
  let handed = 0;
  const listener = await listenNbd(
    { address: { kind: 'unix', path } },
    {
      exports: () => [{ name: 'vm1', sizeBytes: DISK_BYTES, readOnly: false, contexts: CONTEXTS }],
      handOver: ({ agreement, fd, leftover, done }) => {
        handed += 1;
        const onClose = (): void => {
          connections.delete(connection);
          done();
        };
        const limits = TRANSMISSION_LIMITS;
        const connection = serveTransmission({ fd, leftover, agreement, disk, limits, onClose });
        connections.add(connection);
      },
    },
  );
  return {
    run: async (input) => {
      const before = handed;
      const got = await exchange(path, input);
      assert.ok(got >= 18, 'everybody is greeted');
      disk.calls.length = 0;
      const verdict = handed > before ? 'accepted' : 'refused';
      const client = await Client.open({ path }, 'vm1');
      const { error, data } = await client.ask({ type: CMD.READ, offset: 0, length: 512 });
      assert.deepEqual([error, data.length], [0, 512], 'the next client is served');
      client.socket.destroy();
      assert.ok(disk.pending <= 64);
      return verdict;
    },
    close: async () => {
      await listener.close();
      await Promise.all([...connections].map((one) => one.close()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const session: Target = {
  name: 'nbd-session',
  kind: 'bytes',
  inputBytesMax: 20_000,
  onceBytesMax: 33 * MIB,
  totalBytesMax: 128 * MIB,
  seeds: () => negotiations().map((talk) => Buffer.concat([talk, ...COMMANDS])),
  open: openServer,
};

export const NBD_TARGETS: readonly Target[] = [negotiation, requests, session];
