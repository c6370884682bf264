// Truncated, oversized and senseless messages against the running program: it survives, says what
// came, serves everybody else meanwhile, and no byte of a disk is lost or changed by it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, CMD, goData, OPT, option, request, words } from '../nbd/client.js';
import { idOf, pointOf } from '../peer/material.js';
import { MIB } from './images.js';
import { bytesOf, greeted, hello, portOf, sendAndHangUp, withLength } from './mischief.js';
import { startPair } from './nodes.js';
import { listen, nothingLost, round, targetOf, until } from './steps.js';

const DISK_BYTES = 16 * MIB;
/** One byte more than a request may carry. */
const TOO_LONG = 32 * MIB + 1;
const FLAGS = words([32, 3]);
test('NBD clients that lie, break off or talk nonsense', async (t) => {
  const pair = await startPair(t, { sizeBytes: DISK_BYTES, tls: false });
  const { a } = pair;
  const to = { path: a.nbdSocket };
  const good = await Client.open(to, 'vm1');
  t.after(() => good.socket.destroy());
  const content = Buffer.alloc(64 * 1024, 0x6b);
  assert.equal((await good.ask({ type: CMD.WRITE, offset: MIB }, content)).error, 0);
  const stillServed = async (): Promise<void> => {
    const { error, data } = await good.ask({ type: CMD.READ, offset: MIB, length: 64 * 1024 });
    assert.ok(error === 0 && data.equals(content), 'the other client is served');
  };
  const negotiating = async (...bytes: Buffer[]): Promise<void> => {
    const client = await Client.connect(to);
    client.raw(...bytes);
    client.socket.end();
    await client.untilEnd();
    await stillServed();
  };

  const log = listen(a);
  await negotiating(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  await log.line(/cut off in negotiation.*bad-flags|"reason":"bad-flags".*cut off/);
  await negotiating(FLAGS, Buffer.from('NONSENSE'), words([32, 7], [32, 4]));
  await log.line(/"reason":"bad-magic".*cut off in negotiation/);
  await negotiating(FLAGS, Buffer.from('IHAVEOPT'), words([32, OPT.GO], [32, 0xffff_ffff]));
  await log.line(/"reason":"too-much".*cut off in negotiation/);
  await negotiating(FLAGS.subarray(0, 3));
  await negotiating(FLAGS, option(OPT.GO, goData('vm1')).subarray(0, 21));
  await negotiating(FLAGS, option(OPT.EXPORT_NAME, Buffer.from('nothing')));
  await log.line(/"reason":"unknown-export".*cut off in negotiation/);

  // In transmission: lengths that are too long are refused, and the connection lives on.
  const bad = await Client.open(to, 'vm1');
  const refused = async (fields: Parameters<Client['ask']>[0], errno: number): Promise<void> => {
    assert.equal((await bad.ask(fields, Buffer.alloc(0))).error, errno);
    await stillServed();
  };
  await refused({ type: CMD.READ, offset: 0, length: TOO_LONG }, 22);
  await refused({ type: CMD.READ, offset: DISK_BYTES - 1, length: 2 }, 22);
  await refused({ type: CMD.TRIM, offset: 2n ** 63n, length: 0xffff_ffff }, 22);
  await refused({ type: CMD.WRITE_ZEROES, offset: DISK_BYTES, length: 512 }, 28);
  await refused({ type: 999, length: 0 }, 22);
  const tooLong = bad.send({ type: CMD.WRITE, offset: 0, length: TOO_LONG }, Buffer.alloc(0));
  for (let left = TOO_LONG; left > 0; left -= MIB) bad.raw(Buffer.alloc(Math.min(left, MIB), 1));
  assert.equal((await bad.reply(tooLong)).error, 22, 'its payload is read past and refused');
  bad.raw(request({ type: CMD.READ, length: 1, magic: 0x12345678 }));
  await bad.untilEnd();
  await log.line(/"reason":"bad-magic","msg":"NBD client gone"/);
  const halfway = await Client.open(to, 'vm1');
  halfway.raw(request({ type: CMD.WRITE, offset: 4 * MIB, length: 2 * MIB }, Buffer.alloc(MIB, 9)));
  halfway.socket.end();
  await halfway.untilEnd();
  await log.line(/"reason":"lost","msg":"NBD client gone"/);
  await stillServed();
  const { error } = await good.ask({ type: CMD.READ, offset: 0, length: 4096 });
  assert.equal(error, 0);
  await nothingLost(pair);
});

test('peers that lie, break off or talk nonsense', async (t) => {
  const pair = await startPair(t, { sizeBytes: DISK_BYTES, tls: false });
  const { a, b } = pair;
  const port = portOf(pair.config, 'b');
  const survives = async (): Promise<void> => {
    assert.equal((await b.control.status([])).pid, b.pid, 'hastd of b lives');
  };
  const says = async (pattern: RegExp, bytes: Uint8Array): Promise<void> => {
    const log = listen(b);
    await sendAndHangUp(port, bytes);
    await log.line(pattern);
    await survives();
  };
  // Before the first copy there is neither disk nor table: a false primary may ask all the same.
  const early = await greeted(port, { sizeBytes: DISK_BYTES });
  early.end(bytesOf({ type: 'digests', first: 0, count: 16, from: 'table' }, 1));
  await listen(b).line(/the primary is (gone|connected)/);
  await survives();
  await round(a);

  const ping = bytesOf({ type: 'ping' });
  await says(/its checksum is wrong/, Buffer.alloc(64, 'nonsense'));
  await says(/broke off inside a message/, hello().subarray(0, 17));
  await says(/broke off inside a message/, hello().subarray(0, 90));
  await says(/hello message of 4294967295 bytes/, withLength(hello(), 0xffff_ffff));
  await says(/ping message in place of a greeting/, ping);
  await says(/ping message of 1 bytes; 0 are allowed/, withLength(ping, 1));
  await says(/a peer did not come in.*vm9|vm9.*did not come in/, hello({ resource: 'vm9' }));
  await says(/both ends are node b/, hello({ node: 'b' }));

  const frame = bytesOf({
    type: 'frame',
    session: 1,
    round: idOf(7),
    number: 0,
    bytes: new Uint8Array(100),
  });
  const misbehaves = async (pattern: RegExp, ...bytes: Uint8Array[]): Promise<void> => {
    const log = listen(b);
    const socket = await greeted(port, { sizeBytes: DISK_BYTES });
    socket.end(Buffer.concat(bytes));
    await log.line(pattern);
    await survives();
    await until('a is connected again', async () => (await targetOf(a)).link === 'up');
  };
  await misbehaves(/is gone.*|frame message of 4000000000 bytes/, withLength(frame, 4_000_000_000));
  await misbehaves(/broke off inside a message/, frame.subarray(0, 60));
  await misbehaves(/the primary is gone/, frame, frame);
  const far = { type: 'digests', first: 2 ** 31, count: 16_384, from: 'table' } as const;
  await misbehaves(/the primary is gone/, bytesOf(far, 1), bytesOf({ ...far, from: 'disk' }, 2));
  const points = { round: idOf(7), from: pointOf(1), to: pointOf(2) };
  const commit = { ...points, frames: 1, consistency: 'crash' as const, damaged: [] };
  await misbehaves(
    /the primary is gone/,
    bytesOf({ type: 'commit', commit: { ...commit, indexDigest: Buffer.alloc(32) } }, 1),
    bytesOf({ type: 'outcome', round: idOf(9) }, 2),
    bytesOf({ type: 'abandon', round: idOf(7) }, 3),
  );
  await nothingLost(pair);
});
