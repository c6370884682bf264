// The contract of ByteStream, on memory, TCP and TLS alike.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { ByteStream } from '../../src/net/stream.js';
import { type MakePair, memoryPair, pacedPair, tcpPair, tlsPair } from './pairs.js';

const closed = (error: unknown): boolean => codeOf(error) === 'PEER_CLOSED';

async function readAll(stream: ByteStream): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let piece = await stream.read(); piece; piece = await stream.read()) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function readSome(stream: ByteStream, count: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let got = 0; got < count; ) {
    const piece = await stream.read();
    assert.ok(piece, 'the stream goes on');
    pieces.push(piece);
    got += piece.length;
  }
  return Buffer.concat(pieces);
}

function contract(name: string, make: MakePair): void {
  describe(`stream over ${name}`, () => {
    test('bytes arrive once and in order, both ways', async (t) => {
      const { near, far } = await make(t);
      const random = seededRandom(3);
      const pieces = Array.from({ length: 50 }, () => random.bytes(1 + random.below(100_000)));
      const send = async (from: ByteStream): Promise<void> => {
        for (let at = 0; at < pieces.length; at += 2) await from.write(pieces.slice(at, at + 2));
      };
      const all = Buffer.concat(pieces);
      const [, , there, back] = await Promise.all([
        send(near),
        send(far),
        readSome(far, all.length),
        readSome(near, all.length),
      ]);
      assert.ok(there.equals(all));
      assert.ok(back.equals(all));
    });

    test('writes called at once keep their order', async (t) => {
      const { near, far } = await make(t);
      const writes = Array.from({ length: 200 }, (_, at) => near.write([Buffer.from([at])]));
      const got = await readSome(far, 200);
      await Promise.all(writes);
      assert.deepEqual([...got], [...Array(200).keys()]);
    });

    test('a writer waits for a reader that does not read (W5)', async (t) => {
      const { near, far } = await make(t);
      const piece = new Uint8Array(1024 * 1024);
      let accepted = 0;
      const writing = (async () => {
        for (let at = 0; at < 64; at += 1) {
          await near.write([piece]);
          accepted += 1;
        }
      })();
      await pause(200);
      const before = accepted;
      assert.ok(before < 40, `${before} MiB were taken from a writer nobody reads from`);
      await readSome(far, 64 * piece.length);
      await writing;
      assert.equal(accepted, 64);
    });

    test('what was written before the end arrives, then null', async (t) => {
      const { near, far } = await make(t);
      await near.write([Buffer.from('last words')]);
      const [text] = await Promise.all([readAll(far), near.end()]);
      assert.equal(text.toString(), 'last words');
      assert.equal(await far.read(), null, 'the end stays the end');
      await assert.rejects(near.write([Buffer.from('more')]), closed);
    });

    test('a cut rejects a waiting reader and writer at both ends', async (t) => {
      const { near, far } = await make(t);
      const reading = assert.rejects(near.read(), closed);
      const stuck = assert.rejects(async () => {
        for (;;) await near.write([new Uint8Array(1024 * 1024)]);
      }, closed);
      await pause(50);
      far.destroy('pulled the cable');
      await reading;
      await stuck;
      await assert.rejects(
        async () => {
          while (await far.read());
        },
        (error) => closed(error) && String(error).includes('pulled the cable'),
      );
      await assert.rejects(far.write([Buffer.from('x')]), closed);
    });

    test('ends and cuts can be repeated', async (t) => {
      const { near, far } = await make(t);
      await Promise.all([near.end(), readAll(far)]);
      await near.end();
      near.destroy('again');
      far.destroy('again');
      await far.end();
    });

    test('counters are what went over the wire', async (t) => {
      const { near, far } = await make(t);
      const [outBefore, inBefore] = [near.bytesOut, far.bytesIn];
      await Promise.all([near.write([new Uint8Array(500_000)]), readSome(far, 500_000)]);
      const [out, came] = [near.bytesOut - outBefore, far.bytesIn - inBefore];
      const overheadMax = name === 'TLS' ? 5_000 : 0;
      assert.ok(out >= 500_000 && out <= 500_000 + overheadMax, `${out} bytes left`);
      assert.ok(came >= 500_000 && came <= 500_000 + overheadMax, `${came} bytes came`);
      if (name === 'TLS') assert.ok(out > 500_000, 'what encryption adds is counted');
      await Promise.all([near.end(), readAll(far)]);
      assert.ok(near.bytesOut - outBefore >= 500_000, 'they stay after the end');
    });
  });
}

contract('memory', memoryPair);
contract('TCP', tcpPair);
contract('TLS', tlsPair);
contract('memory, paced without a limit', pacedPair(memoryPair, null));
contract('TCP, paced at 8 Gbit/s', pacedPair(tcpPair, 8e9));
