// The pre-shared key of a resource: 32 random bytes, kept as 64 hexadecimal digits and a newline
// in a file that only its owner may read. TLS 1.3 takes a PSK with the SHA-256 suites only.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { codeOf } from '../base/errors.js';
import { hex, type Random } from '../base/random.js';
import { NetError } from './faults.js';

export const SECRET_BYTES = 32;
export const PSK_CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256';
const SECRET_FILE_BYTES_MAX = 256;
const OTHERS_MODE = 0o077;

/** A new secret. */
export const generateSecret = (random: Random): Uint8Array => random.bytes(SECRET_BYTES);

/** The text of a key file. */
export const formatSecret = (secret: Uint8Array): string => `${hex(secret)}\n`;

/** Reads the text of a key file; error SECRET_MALFORMED. The text itself is never repeated. */
export function parseSecret(text: string, path: string): Uint8Array {
  const line = text.trimEnd();
  if (line.length !== 2 * SECRET_BYTES) {
    const why = `${line.length} characters, not ${2 * SECRET_BYTES}`;
    throw new NetError({ code: 'SECRET_MALFORMED', path, why });
  }
  if (!/^[0-9a-fA-F]+$/.test(line)) {
    throw new NetError({ code: 'SECRET_MALFORMED', path, why: 'not all are hexadecimal digits' });
  }
  return new Uint8Array(Buffer.from(line, 'hex'));
}

/** The 32 bytes in the key file `path`. Errors SECRET_UNREADABLE, _EXPOSED, _MALFORMED. */
export const readSecret = async (path: string): Promise<Uint8Array> =>
  parseSecret(await readSecretText(path), path);

/** The text of a file that only its owner may read. Errors SECRET_UNREADABLE, _EXPOSED,
 * _MALFORMED: it is longer than any secret. */
export async function readSecretText(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    const facts = await file.stat();
    if (!facts.isFile()) {
      throw new NetError({ code: 'SECRET_MALFORMED', path, why: 'not a regular file' });
    }
    if ((facts.mode & OTHERS_MODE) !== 0) {
      const mode = (facts.mode & 0o7777).toString(8).padStart(4, '0');
      throw new NetError({ code: 'SECRET_EXPOSED', path, mode });
    }
    const bytes = Buffer.alloc(SECRET_FILE_BYTES_MAX);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0).catch((error: unknown) => {
      throw unreadable(path, error);
    });
    if (bytesRead === bytes.length) {
      const why = `${bytesRead} characters or more`;
      throw new NetError({ code: 'SECRET_MALFORMED', path, why });
    }
    return bytes.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

const unreadable = (path: string, cause: unknown) =>
  new NetError(
    { code: 'SECRET_UNREADABLE', path, errno: codeOf(cause) ?? 'unknown error' },
    { cause },
  );

/** Makes a key file of mode 0600; an existing file is never replaced (SECRET_EXISTS). */
export async function createSecretFile(path: string, random: Random): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    if (codeOf(error) === 'EEXIST') throw new NetError({ code: 'SECRET_EXISTS', path });
    throw unreadable(path, error);
  });
  try {
    await file.write(formatSecret(generateSecret(random)));
    await file.sync();
  } finally {
    await file.close();
  }
}
