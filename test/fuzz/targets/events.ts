// The answers that go on, as hastctl reads them: lines of JSON with counted bytes between them.
import assert from 'node:assert/strict';
import { MIB } from '../../../src/base/units.js';
import {
  CHUNKS_CARRIED_MAX,
  CHUNKS_TOLD_MAX,
  decodeEvents,
  encodeEvent,
} from '../../../src/control/event-stream.js';
import { pure, refusal, type Target, type Verdict } from '../target.js';

const PIECE_BYTES = 700;

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    yield bytes.subarray(at, at + PIECE_BYTES);
  }
}

const CHUNKS = { event: 'chunks', first: 3, count: 9, carried: [4], bytes: new Uint8Array(600) };

const events: Target = {
  name: 'control-events',
  kind: 'bytes',
  inputBytesMax: 20_000,
  onceBytesMax: 2 * MIB,
  totalBytesMax: 32 * MIB,
  words: ['{"event":"chunks",', '"bytes":', '"carried":[', '"event":"end"', '\n', '99999999999'],
  seeds: () => [
    Buffer.concat([...encodeEvent(CHUNKS as never), ...encodeEvent({ event: 'end' } as never)]),
    Buffer.from('{"event":"ranges","ranges":[[0,512],[4096,65536]]}\n{"event":"end"}\n'),
    Buffer.from('{"event":"error","error":{"code":"X","message":"y","exitStatus":1,"facts":{}}}\n'),
  ],
  open: pure(async (input) => {
    const verdict: Verdict = 'accepted';
    try {
      for await (const event of decodeEvents(inPieces(input))) {
        if (event.event !== 'chunks') continue;
        assert.ok(event.count <= CHUNKS_TOLD_MAX && event.carried.length <= CHUNKS_CARRIED_MAX);
        assert.ok(event.bytes.length <= input.length);
      }
      return verdict;
    } catch (error) {
      return refusal(error, 'answer of another form');
    }
  }),
};

export const EVENT_TARGETS: readonly Target[] = [events];
