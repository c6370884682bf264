// What an archive is: the object `archive`, made once, before anything else. Which resource it is
// of, and how it is sealed: records with a data key, and that wrapped by a key made of what the
// operator has (H33). Guarantee: a wrong key or passphrase is told at once, before anything is read
// or written with it. Lengths are bytes, times wall milliseconds.
import { createCipheriv, createDecipheriv, hkdfSync, scryptSync } from 'node:crypto';
import { assert } from '../base/assert.js';
import { errorClass } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { ID_BYTES } from '../base/units.js';
import {
  copyOf,
  dataView,
  expect,
  expectCheck,
  expectMagic,
  expectZero,
  layout,
  putCheck,
  putMagic,
  putU64,
  takeText,
  takeTime,
  textBytes,
} from './layout.js';

export type SealFault =
  | { code: 'ARCHIVE_SEALED'; url: string }
  | { code: 'ARCHIVE_NOT_SEALED'; url: string }
  | { code: 'ARCHIVE_WRONG_KEY'; url: string };

export const SealError = errorClass<SealFault>('SealError', {
  ARCHIVE_SEALED: (f) => `${f.url}: the archive is sealed; name its key ("key PATH", --key PATH)`,
  ARCHIVE_NOT_SEALED: (f) =>
    `${f.url}: the archive was made without a key, and cannot get one now ` +
    '(make another archive, or leave out the key)',
  ARCHIVE_WRONG_KEY: (f) => `${f.url}: the key is not the one that this archive is sealed with`,
});

/** What the operator has. */
export type Secret =
  | { readonly kind: 'key'; readonly bytes: Uint8Array }
  | { readonly kind: 'passphrase'; readonly text: string };

export interface ArchiveIdentity {
  /** 16 random bytes. */
  readonly id: Uint8Array;
  readonly resource: Uint8Array;
  /** Of the resource when it was made; for people. */
  readonly name: string;
  readonly createdMs: number;
  /** Null: its records are not sealed. */
  readonly wrapped: WrappedKey | null;
}

export interface WrappedKey {
  readonly kind: Secret['kind'];
  readonly salt: Uint8Array;
  readonly nonce: Uint8Array;
  /** Data key and tag. */
  readonly bytes: Uint8Array;
}

export const IDENTITY_BYTES = 256;
const NAME_BYTES_MAX = 64;
const KEY_BYTES = 32;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';
/** RFC 7914; 32 MiB and a tenth of a second. */
const SCRYPT = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const MAGIC = 'HASTARC0';
const KINDS: readonly Secret['kind'][] = ['key', 'passphrase'];

//   off  size
const AT = layout(IDENTITY_BYTES, {
  magic: 8, //      0   'HASTARC0'
  resource: 16, //  8
  created: 8, //   24
  sealed: 1, //    32   0 no, 1 with a key file, 2 with a passphrase (scrypt 32768, 8, 1)
  nameBytes: 1, // 33
  spare: 6, //     34   zero
  salt: 16, //     40   zero where it is not sealed, as the next two
  nonce: 12, //    56
  wrapped: 48, //  68   data key 32, tag 16: AES-256-GCM, the resource's id authenticated
  name: 64, //    116
  id: 16, //      180   random: this archive, and no copy of its place
  spareToo: 52, //196   zero
  check: 8, //    248
});

export function encodeIdentity(identity: ArchiveIdentity): Uint8Array {
  const { wrapped } = identity;
  const name = textBytes(identity.name, NAME_BYTES_MAX);
  const bytes = new Uint8Array(IDENTITY_BYTES);
  putMagic(bytes, MAGIC);
  bytes.set(identity.resource, AT.resource);
  bytes.set(identity.id, AT.id);
  putU64(dataView(bytes), AT.created, identity.createdMs);
  bytes[AT.nameBytes] = name.length;
  bytes.set(name, AT.name);
  if (wrapped !== null) {
    bytes[AT.sealed] = 1 + KINDS.indexOf(wrapped.kind);
    bytes.set(wrapped.salt, AT.salt);
    bytes.set(wrapped.nonce, AT.nonce);
    bytes.set(wrapped.bytes, AT.wrapped);
  }
  putCheck(bytes, AT.check);
  return bytes;
}

/** Errors FORMAT_BAD with `place`, FORMAT_VERSION. */
export function decodeIdentity(bytes: Uint8Array, place: string): ArchiveIdentity {
  const where = { what: 'archive', place };
  expectMagic(bytes, MAGIC, where);
  expect(bytes.length === IDENTITY_BYTES, where, `${bytes.length} bytes`);
  expectCheck(bytes, AT.check, where);
  const view = dataView(bytes);
  const sealed = view.getUint8(AT.sealed);
  const length = view.getUint8(AT.nameBytes);
  expect(sealed <= KINDS.length, where, 'how it is sealed is not known');
  expect(length <= NAME_BYTES_MAX, where, `a name of ${length} bytes`);
  expectZero(bytes, AT.spare, AT.salt, where);
  expectZero(bytes, AT.name + length, AT.id, where);
  expectZero(bytes, AT.spareToo, AT.check, where);
  if (sealed === 0) expectZero(bytes, AT.salt, AT.name, where);
  const part = (from: number, count: number) => copyOf(bytes, from, from + count);
  const kind = KINDS[sealed - 1];
  return {
    id: part(AT.id, ID_BYTES),
    resource: part(AT.resource, ID_BYTES),
    name: takeText(bytes, AT.name, AT.name + length, where),
    createdMs: takeTime(view, AT.created, where),
    wrapped:
      kind === undefined
        ? null
        : {
            kind,
            salt: part(AT.salt, SALT_BYTES),
            nonce: part(AT.nonce, NONCE_BYTES),
            bytes: part(AT.wrapped, KEY_BYTES + TAG_BYTES),
          },
  };
}

/** A new data key, and how it is kept. */
export function wrapNewKey(
  secret: Secret,
  resource: Uint8Array,
  random: Random,
): { readonly dataKey: Uint8Array; readonly wrapped: WrappedKey } {
  const dataKey = random.bytes(KEY_BYTES);
  const [salt, nonce] = [random.bytes(SALT_BYTES), random.bytes(NONCE_BYTES)];
  const cipher = createCipheriv(CIPHER, wrappingKey(secret, salt), nonce);
  cipher.setAAD(resource);
  const bytes = new Uint8Array(KEY_BYTES + TAG_BYTES);
  bytes.set(cipher.update(dataKey));
  cipher.final();
  bytes.set(cipher.getAuthTag(), KEY_BYTES);
  return { dataKey, wrapped: { kind: secret.kind, salt, nonce, bytes } };
}

/** The data key of an archive; null: it is not sealed. Errors ARCHIVE_SEALED, ARCHIVE_NOT_SEALED,
 * ARCHIVE_WRONG_KEY. */
export function dataKeyOf(
  { wrapped, resource }: ArchiveIdentity,
  secret: Secret | null,
  url: string,
): Uint8Array | null {
  if (wrapped === null) {
    if (secret !== null) throw new SealError({ code: 'ARCHIVE_NOT_SEALED', url });
    return null;
  }
  if (secret === null) throw new SealError({ code: 'ARCHIVE_SEALED', url });
  if (secret.kind !== wrapped.kind) throw new SealError({ code: 'ARCHIVE_WRONG_KEY', url });
  const opener = createDecipheriv(CIPHER, wrappingKey(secret, wrapped.salt), wrapped.nonce);
  opener.setAAD(resource);
  opener.setAuthTag(wrapped.bytes.subarray(KEY_BYTES));
  const dataKey = opener.update(wrapped.bytes.subarray(0, KEY_BYTES));
  try {
    opener.final();
  } catch (cause) {
    throw new SealError({ code: 'ARCHIVE_WRONG_KEY', url }, { cause });
  }
  return new Uint8Array(dataKey);
}

function wrappingKey(secret: Secret, salt: Uint8Array): Buffer {
  if (secret.kind === 'passphrase') return scryptSync(secret.text, salt, KEY_BYTES, SCRYPT);
  assert(secret.bytes.length >= KEY_BYTES, 'a key has 32 bytes');
  return Buffer.from(hkdfSync('sha256', secret.bytes, salt, 'hast archive key', KEY_BYTES));
}
