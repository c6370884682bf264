// What an archive is sealed with, as a file of the operator: a key as `hastctl keygen` makes it, or
// a line `passphrase WORDS` (scrypt makes the key of it, hast-archive(5)). Only its owner may read
// the file. What is in it is never repeated in an error.

import type { Secret } from '../format/archive-identity.js';
import { NetError } from '../net/faults.js';
import { parseSecret, readSecretText } from '../net/psk.js';

const PASSPHRASE = /^passphrase[ \t]+(.*)$/;
const PASSPHRASE_CHARACTERS_MIN = 12;

/** Errors SECRET_UNREADABLE, SECRET_EXPOSED, SECRET_MALFORMED. */
export async function readArchiveSecret(path: string): Promise<Secret> {
  return parseArchiveSecret(await readSecretText(path), path);
}

/** Error SECRET_MALFORMED. */
export function parseArchiveSecret(text: string, path: string): Secret {
  const [, words] = PASSPHRASE.exec(text.trimEnd()) ?? [];
  if (words === undefined) return { kind: 'key', bytes: parseSecret(text, path) };
  const passphrase = words.trim().normalize('NFC');
  if (passphrase.length >= PASSPHRASE_CHARACTERS_MIN) {
    return { kind: 'passphrase', text: passphrase };
  }
  const least = `${PASSPHRASE_CHARACTERS_MIN} are the least`;
  const why = `a passphrase of ${passphrase.length} characters; ${least}`;
  throw new NetError({ code: 'SECRET_MALFORMED', path, why });
}
