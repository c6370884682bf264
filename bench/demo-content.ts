// What a guest writes, made from a seed: log lines that compress about fourfold, and bytes that do
// not compress. Every 4 KiB block of `next` carries a number of its own, so that no two writes of
// a run are equal and a stale block cannot look right by chance.
import { type Cipher, createCipheriv, createHash } from 'node:crypto';
import type { Random } from '../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../src/base/units.js';

const TEXT_BYTES = 2 * MIB;
const WORDS =
  'GET POST 200 404 index.html session opened closed for user by uid=0 kernel usb eth0 link up ' +
  'started stopped systemd cron sshd nginx postgres checkpoint complete wrote buffers connection';

export class Content {
  readonly #random: Random;
  readonly #cipher: Cipher;
  readonly #text: Buffer;
  #blocks = 0n;

  constructor(random: Random) {
    this.#random = random;
    const key = createHash('sha256').update(random.bytes(32)).digest().subarray(0, 16);
    this.#cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
    this.#text = textOf(random);
  }

  /** Bytes for one write, half of the writes compressible. */
  next(length: number): Buffer {
    const bytes = this.#random.below(2) === 0 ? this.text(length) : this.noise(length);
    for (let at = 0; at + 8 <= length; at += BLOCK_BYTES) {
      this.#blocks += 1n;
      bytes.writeBigUInt64BE(this.#blocks, at);
    }
    return bytes;
  }

  /** Incompressible. */
  noise(length: number): Buffer {
    return this.#cipher.update(Buffer.alloc(length));
  }

  /** Compressible; `length` is at most 1 MiB. */
  text(length: number): Buffer {
    const from = this.#random.below(TEXT_BYTES - length);
    return Buffer.from(this.#text.subarray(from, from + length));
  }
}

function textOf(random: Random): Buffer {
  const words = WORDS.split(' ');
  const lines: string[] = [];
  for (let length = 0; length < TEXT_BYTES; ) {
    const picked = Array.from({ length: 8 }, () => words[random.below(words.length)]);
    const stamp = `Nov 20 02:${random.below(60)} host[${random.below(99_999)}]`;
    const line = `${stamp}: ${picked.join(' ')}\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join('')).subarray(0, TEXT_BYTES);
}
