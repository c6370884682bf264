// A reader of archives written from hast-archive(5) and hast-changeset(5) alone: offsets are the
// numbers of those pages, nothing of src/format but zstd is used. What it reads of archives that
// the program has written is what the pages promise to anybody.
import assert from 'node:assert/strict';
import { createDecipheriv, hkdfSync, scryptSync } from 'node:crypto';
import { checkOf, digestOf, equalBytes, isZero } from '../../src/base/digest.js';
import { hex } from '../../src/base/random.js';
import { unpack } from '../../src/format/pack.js';
import type { MemoryObjects } from '../store/memory-store.js';

interface Piece {
  mask: number;
  readonly zero: number;
  readonly pack: number;
  readonly offset: number;
  readonly bytes: number;
}

interface Entry {
  readonly digest: Buffer;
  readonly pieces: Piece[];
}

interface Tree {
  /** Name of the pack of the root, and its number. */
  readonly name: string;
  readonly pack: number;
  readonly root: Buffer;
}

type Secret =
  | { readonly kind: 'key'; readonly bytes: Uint8Array }
  | { readonly kind: 'passphrase'; readonly text: string };

const key8 = (number: number): string => number.toString(16).padStart(8, '0');

export class PageReader {
  readonly #objects: MemoryObjects;
  readonly #dataKey: Buffer | null;
  #trees: Tree[] = [];
  #sizeBytes = 0;

  constructor(objects: MemoryObjects, secret: Secret | null) {
    this.#objects = objects;
    const identity = this.#object('archive');
    assert.ok(identity !== null && identity.length === 256 && magic(identity) === 'HASTARC0');
    checked(identity);
    const salt = identity.subarray(40, 56);
    this.#dataKey = null;
    if (identity[32] === 0) return;
    assert.ok(secret !== null && identity[32] === (secret.kind === 'key' ? 1 : 2));
    const wrapping =
      secret.kind === 'key'
        ? Buffer.from(hkdfSync('sha256', secret.bytes, salt, 'hast archive key', 32))
        : scryptSync(secret.text, salt, 32, { N: 32_768, r: 8, p: 1, maxmem: 2 ** 26 });
    const [nonce, wrapped] = [identity.subarray(56, 68), identity.subarray(68, 116)];
    this.#dataKey = opened(wrapping, nonce, identity.subarray(8, 24), wrapped);
  }

  /** Content of the disk as of the newest point. */
  newest(): { readonly number: number; readonly disk: Buffer } {
    const point = this.#newestPoint();
    this.#sizeBytes = Number(point.readBigUInt64BE(88));
    const row = (i: number): Buffer => point.subarray(144 + 60 * i, 204 + 60 * i);
    this.#trees = Array.from({ length: point.readUInt16BE(74) }, (_, i) => {
      const name = hex(row(i).subarray(0, 32));
      return {
        name,
        pack: row(i).readUInt32BE(36),
        root: this.#node(row(i).subarray(36), name, 16),
      };
    });
    const disk = Buffer.alloc(this.#sizeBytes);
    for (let at = 0; at < disk.length; at += 65_536) this.#chunk(disk, at / 65_536);
    return { number: Number(point.readBigUInt64BE(8 + 16)), disk };
  }

  #newestPoint(): Buffer {
    const head = this.#object('head');
    assert.ok(head !== null && magic(head) === 'HASTHED0' && head.length === 24);
    checked(head);
    let epoch = 1;
    while (this.#object(`epochs/${key8(epoch + 1)}`) !== null) epoch += 1;
    const isHinted = head.readUInt32BE(8) === epoch;
    let found: Buffer | null = null;
    for (let sequence = isHinted ? head.readUInt32BE(12) : 1; ; sequence += 1) {
      const bytes = this.#object(`points/${key8(epoch)}/${key8(sequence)}`);
      if (bytes === null) break;
      const { kind, body } = this.#record(bytes);
      assert.ok(kind === 2 && magic(body) === 'HASTPNT0', 'nobody else wrote here');
      checked(body);
      assert.deepEqual([body.readUInt32BE(76), body.readUInt32BE(80)], [epoch, sequence]);
      found = body;
    }
    assert.ok(found !== null);
    return found;
  }

  #chunk(disk: Buffer, chunk: number): void {
    const [own, start] = [disk.subarray(chunk * 65_536, (chunk + 1) * 65_536), chunk * 65_536];
    const entries = this.#trees.flatMap((tree) => this.#entry(tree, chunk) ?? []);
    let seen = 0;
    for (const { pieces } of entries) {
      let has = 0;
      for (const piece of pieces) {
        has |= piece.mask;
        const wanted = piece.mask & ~piece.zero & ~seen;
        if (wanted !== 0) this.#lay(own, start, piece, wanted);
      }
      seen |= has;
    }
    const [newest] = entries;
    if (newest === undefined) assert.ok(isZero(own));
    else assert.ok(equalBytes(digestOf(own), newest.digest), `chunk ${chunk} has its digest`);
  }

  #entry(tree: Tree, chunk: number): Entry | null {
    const region = Math.floor(chunk / 256);
    const pages = tree.root.readUInt32BE(4);
    const rows = tree.root.subarray(16, 16 + 24 * pages);
    const pageRow = find(rows, 24, (row) => row.readUInt32BE(0) === Math.floor(region / 256));
    if (pageRow === null) return null;
    const page = this.#node(pageRow.subarray(4), this.#name(pageRow.readUInt32BE(4)), 12);
    const leafRow = find(page, 21, (row) => row[0] === region % 256);
    if (leafRow === null) return null;
    const leaf = this.#node(leafRow.subarray(1), this.#name(leafRow.readUInt32BE(1)), 12);
    const [n, p] = [leaf.readUInt16BE(0), leaf.readUInt32BE(2)];
    let first = 0;
    for (let i = 0; i < n; i += 1) {
      const count = leaf[6 + n + i] ?? 0;
      if (leaf[6 + i] === chunk % 256) {
        const base = 6 + 18 * n;
        const pieces = Array.from({ length: count }, (_, at) => ({
          mask: leaf.readUInt16BE(base + 2 * (first + at)),
          zero: leaf.readUInt16BE(base + 2 * p + 2 * (first + at)),
          pack: leaf.readUInt32BE(base + 4 * p + 4 * (first + at)),
          offset: leaf.readUInt32BE(base + 8 * p + 4 * (first + at)),
          bytes: leaf.readUInt32BE(base + 12 * p + 4 * (first + at)),
        }));
        return { digest: leaf.subarray(6 + 2 * n + 16 * i, 6 + 2 * n + 16 * (i + 1)), pieces };
      }
      first += count;
    }
    return null;
  }

  /** Name of a pack by its number. */
  #name(pack: number): string {
    const ofRoot = this.#trees.find((tree) => tree.pack === pack);
    if (ofRoot !== undefined) return ofRoot.name;
    for (const { root, name } of this.#trees) {
      const rows = root.subarray(16 + 24 * root.readUInt32BE(4));
      const ref = find(rows, 60, (row) => row.readUInt32BE(0) === Math.floor(pack / 1024));
      if (ref === null) continue;
      const own = ref.readUInt32BE(56) === 0 ? name : hex(ref.subarray(24, 56));
      const table = this.#node(ref.subarray(4), own, 12);
      const found = find(table, 48, (row) => row.readUInt32BE(0) === pack % 1024);
      if (found !== null) return hex(found.subarray(4, 36));
    }
    return assert.fail(`no table has pack ${pack}`);
  }

  /** Raw bytes of a node by its reference, whose check stands at `checkAt`. */
  #node(ref: Buffer, name: string, checkAt: number): Buffer {
    const { kind, body } = this.#record(
      this.#range(name, ref.readUInt32BE(4), ref.readUInt32BE(8)),
    );
    assert.equal(kind, 1);
    assert.ok(equalBytes(checkOf(body), ref.subarray(checkAt, checkAt + 8)), 'the one referred to');
    const raw = unpack(body.subarray(5), body[0] === 0 ? 0 : 1, body.readUInt32BE(1));
    assert.ok(raw !== null);
    return Buffer.from(raw);
  }

  /** Puts the wanted blocks of a chunk where they belong, from the frame of a piece. */
  #lay(own: Buffer, start: number, piece: Piece, wanted: number): void {
    const stored = this.#range(this.#name(piece.pack), piece.offset, piece.bytes);
    const { kind, body: frame, sizeBytes } = this.#record(stored);
    assert.ok(kind === 0 && frame.subarray(0, 4).toString('latin1') === 'HFR1');
    const n = frame.readUInt16BE(12);
    const body = unpack(frame.subarray(48), frame[16] === 0 ? 0 : 1, frame.readUInt32BE(24));
    assert.ok(body !== null);
    const raw = Buffer.from(body);
    let at = 26 * n;
    let left = wanted;
    for (let i = 0; i < n; i += 1) {
      const chunk = raw.readUInt32BE(4 * i);
      const data = raw.readUInt16BE(6 * n + 2 * i) & ~raw.readUInt16BE(8 * n + 2 * i);
      for (let block = 0; block < 16; block += 1) {
        if ((data & (1 << block)) === 0) continue;
        const from = chunk * 65_536 + block * 4096;
        const length = Math.min(4096, sizeBytes - from);
        if (chunk * 65_536 === start && (wanted & (1 << block)) !== 0) {
          own.set(raw.subarray(at, at + length), block * 4096);
          left &= ~(1 << block);
        }
        at += length;
      }
    }
    assert.equal(left, 0, 'the frame has the blocks that the index takes from it');
  }

  #record(bytes: Buffer): { kind: number; body: Buffer; sizeBytes: number } {
    assert.equal(bytes.subarray(0, 4).toString('latin1'), 'HRE0');
    const header = bytes.subarray(0, 48);
    checked(header);
    assert.equal(bytes.length, 48 + header.readUInt32BE(28));
    assert.equal(header[5], this.#dataKey === null ? 0 : 1);
    const kind = header[4] ?? 255;
    const sizeBytes = Number(header.readBigUInt64BE(32));
    const stored = bytes.subarray(48);
    if (this.#dataKey === null) return { kind, body: stored, sizeBytes };
    const salt = header.subarray(8, 24);
    const key = Buffer.from(hkdfSync('sha256', this.#dataKey, salt, 'hast archive record', 32));
    const nonce = Buffer.concat([Buffer.alloc(8), header.subarray(24, 28)]);
    return { kind, body: opened(key, nonce, header, stored), sizeBytes };
  }

  #range(name: string, offset: number, bytes: number): Buffer {
    const pack = this.#object(`packs/${name.slice(0, 2)}/${name}`);
    assert.ok(pack !== null && offset + bytes <= pack.length);
    return pack.subarray(offset, offset + bytes);
  }

  #object(key: string): Buffer | null {
    const found = this.#objects.get(key);
    return found === undefined ? null : Buffer.from(found.bytes);
  }
}

const magic = (bytes: Buffer): string => bytes.subarray(0, 8).toString('latin1');

/** The last 8 bytes are the check of those before. */
function checked(bytes: Buffer): void {
  assert.ok(equalBytes(checkOf(bytes.subarray(0, -8)), bytes.subarray(-8)), 'its check holds');
}

/** What AES-256-GCM sealed; the tag is its last 16 bytes. */
function opened(key: Buffer, nonce: Buffer, authenticated: Buffer, stored: Buffer): Buffer {
  const opener = createDecipheriv('aes-256-gcm', key, nonce);
  opener.setAAD(authenticated);
  opener.setAuthTag(stored.subarray(-16));
  return Buffer.concat([opener.update(stored.subarray(0, -16)), opener.final()]);
}

function find(rows: Buffer, rowBytes: number, is: (row: Buffer) => boolean): Buffer | null {
  for (let at = 0; at < rows.length; at += rowBytes) {
    const row = rows.subarray(at, at + rowBytes);
    if (is(row)) return row;
  }
  return null;
}
