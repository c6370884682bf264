// Writing and reading the fields of a payload, big-endian. The writer asserts its limits (our own
// mistakes), the reader throws PEER_PROTOCOL naming the field (the world's).
//
//  point, 32 bytes:  16 id   8 number   8 time in milliseconds since 1970 UTC
//  epoch:            16 id   8 number   1 has parent   16 parent or zeroes   name
//  name:             1 length   UTF-8            text:  2 length   UTF-8
//  optional point:   1 has it   32 point or zeroes
import { assert, present } from '../base/assert.js';
import { isZero } from '../base/digest.js';
import { DISK_BYTES_MAX, ID_BYTES, TIME_MS_MAX } from '../base/units.js';
import type { Epoch, PointRef } from '../lineage/lineage.js';
import { PeerError } from './faults.js';
import { NAME_BYTES_MAX, TEXT_BYTES_MAX } from './limits.js';

export const POINT_BYTES = ID_BYTES + 8 + 8;
const TWO_32 = 2 ** 32;

export class Writer {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  u8(value: number): void {
    this.#room(1).writeUInt8(value);
  }

  u16(value: number): void {
    this.#room(2).writeUInt16BE(value);
  }

  u32(value: number): void {
    this.#room(4).writeUInt32BE(value);
  }

  /** A whole number of at most 2^53 - 1, in 8 bytes. */
  u64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, `${value} is a whole number`);
    this.u32(Math.floor(value / TWO_32));
    this.u32(value % TWO_32);
  }

  flag(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length).set(value);
  }

  id(value: Uint8Array): void {
    assert(value.length === ID_BYTES, 'an id has 16 bytes');
    this.bytes(value);
  }

  optionalId(value: Uint8Array | null): void {
    this.flag(value !== null);
    this.id(value ?? new Uint8Array(ID_BYTES));
  }

  point(value: PointRef): void {
    this.id(value.id);
    this.u64(value.number);
    this.u64(value.timeMs);
  }

  optionalPoint(value: PointRef | null): void {
    this.flag(value !== null);
    if (value) this.point(value);
    else this.bytes(new Uint8Array(POINT_BYTES));
  }

  epoch(value: Epoch): void {
    this.id(value.id);
    this.u64(value.number);
    this.optionalId(value.parent);
    this.name(value.node);
  }

  name(value: string): void {
    const bytes = Buffer.from(value, 'utf8');
    assert(bytes.length <= NAME_BYTES_MAX, 'names are at most 255 bytes');
    this.u8(bytes.length);
    this.bytes(bytes);
  }

  /** Cut to TEXT_BYTES_MAX, never inside a character. */
  text(value: string): void {
    let bytes = Buffer.from(value, 'utf8');
    if (bytes.length > TEXT_BYTES_MAX) {
      let end = TEXT_BYTES_MAX;
      while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
      bytes = bytes.subarray(0, end);
    }
    this.u16(bytes.length);
    this.bytes(bytes);
  }

  /** `value` must be one of `names`; written as its place. */
  choice<T extends string>(names: readonly T[], value: T): void {
    const at = names.indexOf(value);
    assert(at >= 0, `${value} is one of ${names.join(', ')}`);
    this.u8(at);
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The next `count` bytes, to be written. */
  #room(count: number): Buffer {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
    }
    return this.#bytes.subarray(at, this.#length);
  }
}

// A byte order mark stays: without it two different names would read alike.
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #peer: string;
  readonly #type: string;
  #at = 0;

  constructor(bytes: Uint8Array, type: string, peer: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#peer = peer;
    this.#type = type;
  }

  get leftBytes(): number {
    return this.#bytes.length - this.#at;
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(1, field));
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(2, field));
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(4, field));
  }

  u64(field: string): number {
    const value = this.u32(field) * TWO_32 + this.u32(field);
    if (!Number.isSafeInteger(value)) throw this.broken(`${field} is too large`);
    return value;
  }

  /** A number that has a limit; 32 bits. */
  count(field: string, most: number): number {
    const value = this.u32(field);
    if (value > most) throw this.broken(`${field} is ${value}; ${most} are allowed`);
    return value;
  }

  flag(field: string): boolean {
    const value = this.u8(field);
    if (value > 1) throw this.broken(`${field} is ${value}, neither 0 nor 1`);
    return value === 1;
  }

  /** A view of the payload, not a copy. */
  bytes(count: number, field: string): Uint8Array {
    const at = this.#take(count, field);
    return this.#bytes.subarray(at, at + count);
  }

  /** A copy: ids outlive the payload, and must not keep all of it in memory. */
  id(field: string): Uint8Array {
    return new Uint8Array(this.bytes(ID_BYTES, field));
  }

  size(field: string): number {
    const value = this.u64(field);
    if (value > DISK_BYTES_MAX) throw this.broken(`${field} is ${value} bytes, more than any disk`);
    return value;
  }

  optionalId(field: string): Uint8Array | null {
    const there = this.flag(field);
    const id = this.id(field);
    if (!there && !isZero(id)) throw this.broken(`${field} is there and not there`);
    return there ? id : null;
  }

  point(field: string): PointRef {
    const point = { id: this.id(field), number: this.u64(field), timeMs: this.u64(field) };
    if (point.timeMs > TIME_MS_MAX) throw this.broken(`${field} is of no time that can be shown`);
    return point;
  }

  optionalPoint(field: string): PointRef | null {
    if (this.flag(field)) return this.point(field);
    const none = isZero(this.bytes(POINT_BYTES, field));
    if (!none) throw this.broken(`${field} is there and not there`);
    return null;
  }

  epoch(): Epoch {
    return {
      id: this.id('epoch'),
      number: this.u64('epoch number'),
      parent: this.optionalId('epoch parent'),
      node: this.name('epoch node'),
    };
  }

  name(field: string): string {
    return this.#utf8(this.u8(field), field);
  }

  text(field: string): string {
    const length = this.u16(field);
    if (length > TEXT_BYTES_MAX) throw this.broken(`${field} has ${length} bytes`);
    return this.#utf8(length, field);
  }

  choice<T extends string>(names: readonly T[], field: string): T {
    const at = this.u8(field);
    if (at >= names.length) throw this.broken(`${field} is ${at}, which means nothing here`);
    return present(names[at], 'the place was checked');
  }

  /** Nothing may follow the last field. */
  end(): void {
    if (this.leftBytes !== 0) throw this.broken(`${this.leftBytes} bytes follow its last field`);
  }

  broken(why: string) {
    const what = `${this.#type} message: ${why}`;
    return new PeerError({ code: 'PEER_PROTOCOL', peer: this.#peer, what });
  }

  #utf8(length: number, field: string): string {
    const bytes = this.bytes(length, field);
    try {
      return UTF8.decode(bytes);
    } catch {
      throw this.broken(`${field} is not UTF-8`);
    }
  }

  #take(count: number, field: string): number {
    if (count > this.leftBytes) throw this.broken(`ends inside ${field}`);
    const at = this.#at;
    this.#at += count;
    return at;
  }
}
