// A disk whose power can be cut, as a program: volatile-disk.js IMAGE SOCKET serves IMAGE by NBD
// (fixed newstyle, one export of any name) through a VolatileCache. A line `cut SEED PID FLUSHES`
// on standard input is the power cut, at once or when so many further FLUSH have come, before the
// last of them has any effect: where much is at stake. Process PID, which runs on this disk, is
// killed, the image gets what survives, a CutReport goes to standard output, and the program ends;
// nobody hears of an error before. It ends without a cut when standard input does: its test is
// gone. A process of its own, because a kernel that mounts it waits for it: never its user. Written
// from proto.md, not from src/nbd. Offsets and lengths are bytes.
import { fstatSync, openSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { seededRandom } from '../../src/base/random.js';
import { CMD, FUA, OPT, words } from '../nbd/client.js';
import { VolatileCache } from './volatile-cache.js';

const NEWSTYLE = 0x49484156454f5054n; // IHAVEOPT
const REPLY_TO_OPTION = 0x3e889045565a9n;
const SIMPLE_REPLY = 0x67446698;
const FIXED_NO_ZEROES = 3;
const REP = { ACK: 1, INFO: 3, UNSUPPORTED: 2 ** 31 + 1 };
/** Has flags, takes FLUSH and FUA. No MULTI_CONN: one connection is enough. */
const TRANSMISSION_FLAGS = 1 | 4 | 8;
const EINVAL = 22;
/** Where so many FLUSH do not come, the power fails without them. */
const IDLE_MS_MAX = 1500;

const [imagePath = '', socketPath = ''] = process.argv.slice(2);
const image = openSync(imagePath, 'r+');
const sizeBytes = fstatSync(image).size;
const cache = new VolatileCache(image);

createServer((socket) => {
  socket.on('error', () => socket.destroy());
  void serve(socket).finally(() => socket.destroy());
}).listen(socketPath);

let coming: { readonly seed: number; readonly pid: number; flushes: number } | null = null;
createInterface(process.stdin)
  .on('line', (line) => {
    const [seed = 0, pid = 0, flushes = 0] = line.split(' ').slice(1).map(Number);
    coming = { seed, pid, flushes };
    if (flushes === 0) cut(seed, pid);
    setTimeout(cut, IDLE_MS_MAX, seed, pid);
  })
  .on('close', () => process.exit(0));

/** One turn: nothing is answered between the cut and the end. */
function cut(seed: number, pid: number): never {
  process.kill(pid, 'SIGKILL');
  const report = cache.cut(seededRandom(seed));
  writeSync(1, `${JSON.stringify(report)}\n`);
  process.exit(0);
}

function flush(): void {
  if (coming !== null) coming.flushes -= 1;
  if (coming?.flushes === 0) cut(coming.seed, coming.pid);
  cache.flush();
}

/** Takes exactly as many bytes as asked for; null: the stream has ended. */
type Take = (length: number) => Promise<Buffer | null>;

function takerOf(socket: Socket): Take {
  const pieces = socket[Symbol.asyncIterator]();
  let held = Buffer.alloc(0);
  return async (length) => {
    const parts = [held];
    for (let got = held.length; got < length; ) {
      const { value, done } = await pieces.next();
      if (done) return null;
      parts.push(value);
      got += value.length;
    }
    const all = parts.length === 1 ? held : Buffer.concat(parts);
    held = all.subarray(length);
    return all.subarray(0, length);
  };
}

async function serve(socket: Socket): Promise<void> {
  const take = takerOf(socket);
  socket.write(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), words([16, FIXED_NO_ZEROES])]));
  if ((await take(4)) === null || !(await negotiate(socket, take))) return;
  for (;;) {
    const head = await take(28);
    if (head === null || head.readUInt16BE(6) === CMD.DISC) return;
    const length = head.readUInt32BE(24);
    const payload = head.readUInt16BE(6) === CMD.WRITE ? await take(length) : null;
    const { error, data } = answer(head, length, payload);
    const cookie = head.readBigUInt64BE(8);
    socket.write(Buffer.concat([words([32, SIMPLE_REPLY], [32, error], [64, cookie]), data]));
  }
}

/** True when the transmission phase has begun. */
async function negotiate(socket: Socket, take: Take): Promise<boolean> {
  for (;;) {
    const head = await take(16);
    if (head === null || head.readBigUInt64BE(0) !== NEWSTYLE) return false;
    const option = head.readUInt32BE(8);
    await take(head.readUInt32BE(12));
    const reply = (type: number, data: Buffer = Buffer.alloc(0)): void => {
      const start = words([64, REPLY_TO_OPTION], [32, option], [32, type], [32, data.length]);
      socket.write(Buffer.concat([start, data]));
    };
    if (option === OPT.EXPORT_NAME) {
      socket.write(words([64, sizeBytes], [16, TRANSMISSION_FLAGS]));
      return true;
    }
    if (option === OPT.GO || option === OPT.INFO) {
      reply(REP.INFO, words([16, 0], [64, sizeBytes], [16, TRANSMISSION_FLAGS]));
      reply(REP.ACK);
      if (option === OPT.GO) return true;
    } else if (option === OPT.ABORT) {
      reply(REP.ACK);
      return false;
    } else {
      reply(REP.UNSUPPORTED);
    }
  }
}

function answer(head: Buffer, length: number, payload: Buffer | null) {
  const offset = Number(head.readBigUInt64BE(16));
  const nothing = Buffer.alloc(0);
  switch (head.readUInt16BE(6)) {
    case CMD.READ: {
      const data = Buffer.alloc(length);
      cache.read(offset, data);
      return { error: 0, data };
    }
    case CMD.WRITE:
      if ((head.readUInt16BE(4) & FUA) === FUA) cache.writeThrough(offset, payload ?? nothing);
      else cache.write(offset, payload ?? nothing);
      return { error: 0, data: nothing };
    case CMD.FLUSH:
      flush();
      return { error: 0, data: nothing };
    default:
      return { error: EINVAL, data: nothing };
  }
}
