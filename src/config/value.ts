// Values of settings: pure readers of durations, sizes and the like, and `valueFault`, which says
// what is wrong with a value, why, and what to write. Durations are seconds, sizes bytes.
import { posix } from 'node:path';
import { present } from '../base/assert.js';
import type { RetainRule } from '../retention/keep.js';
import { type Address, AddressError, addressOf, isLoopback } from './address.js';
import { shown } from './finding.js';
import type { Keyword, ValueKind } from './keyword.js';
import { nearest } from './nearest.js';
import { retainOf } from './retain.js';
import type { CompressionSetting } from './settings.js';

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};
const UNIT_BITS: Readonly<Record<string, number>> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/** `30s 15m 6h 1d`, or with `bare` also a plain number of seconds; null: none of these. */
export function durationSeconds(text: string, bare: boolean): number | null {
  const [, digits, unit] = /^([0-9]{1,9})([smhd]?)$/.exec(text) ?? [];
  if (digits === undefined || unit === undefined || (unit === '' && !bare)) return null;
  return Number(digits) * (UNIT_SECONDS[unit || 's'] ?? 1);
}

/** `4096 64k 512M 4G 1T` in powers of 1024, units in any case; null: none of these. */
export function sizeBytes(text: string): number | null {
  const [, digits, unit] = /^([0-9]{1,15})([kmgt]?)$/i.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return null;
  return Number(digits) * (UNIT_BYTES[unit.toLowerCase()] ?? 1);
}

/** `500kbit 20mbit 2.5gbit` in powers of 1000 as tc(8), units in any case: bits a second; null:
 * none of these. */
export function rateBits(text: string): number | null {
  const [, number, unit] = /^([0-9]{1,9}(?:\.[0-9]{1,3})?)([kmg]bit)$/i.exec(text) ?? [];
  if (number === undefined || unit === undefined) return null;
  return Math.round(Number(number) * (UNIT_BITS[unit.toLowerCase()] ?? 1));
}

/** `1% 0.5%` and `off`: a share of 0..1; null: none of these. */
export function shareOf(text: string): number | null {
  if (text === 'off') return 0;
  const [, percent] = /^([0-9]{1,9}(?:\.[0-9]{1,3})?)%$/.exec(text) ?? [];
  return percent === undefined ? null : Number(percent) / 100;
}

/** A rule that was checked. */
export function ruleOf(text: string): RetainRule {
  const rule = retainOf(text);
  return present(typeof rule === 'string' ? null : rule, 'the value was checked');
}

/** A decimal number of at most nine digits, or null. */
export const wholeNumber = (text: string): number | null =>
  /^[0-9]{1,9}$/.test(text) ? Number(text) : null;

const COMPRESSIONS = ['none', 'hole', 'lzf', 'zstd'];
const ZSTD_LEVEL_MAX = 19;
const ZSTD_LEVEL_DEFAULT = 3;

/** none, hole, lzf (zstd's fastest), zstd, zstd:1..19; null: none of these. */
export function compressionOf(text: string): CompressionSetting | null {
  if (text === 'none' || text === 'hole') return { codec: text };
  if (text === 'lzf') return { codec: 'zstd', level: 1 };
  if (text === 'zstd') return { codec: 'zstd', level: ZSTD_LEVEL_DEFAULT };
  const [, digits] = /^zstd:([0-9]{1,2})$/.exec(text) ?? [];
  const level = Number(digits);
  return level >= 1 && level <= ZSTD_LEVEL_MAX ? { codec: 'zstd', level } : null;
}

// Names become folders and files of the state directory, parts of URIs and arguments of hastctl.
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** What is wrong with the name of a resource, an export or a node; null: nothing. */
export function nameFault(text: string): string | null {
  if (NAME.test(text)) return null;
  const rule = 'a name has 1 to 64 letters, digits, dots, hyphens and underscores';
  return `${shown(text)} cannot be a name: ${rule} and begins with a letter or digit`;
}

/** What is wrong with `text` as the value of `keyword`, why, and what to write; null: nothing. */
export function valueFault(keyword: Keyword, text: string): string | null {
  const refused = keyword.refused;
  if (refused && Object.hasOwn(refused, text)) return refused[text] ?? null;
  return kindFault(keyword.value, text);
}

/** The rule of a kind. Each sentence ends with what to write, where that can be known. */
function kindFault(value: ValueKind, text: string): string | null {
  switch (value.kind) {
    case 'path':
      return pathFault(text);
    case 'name':
      return nameFault(text);
    case 'group':
      if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(text)) return null;
      return `${shown(text)} is not the name of a group; write one of group(5), such as kvm`;
    case 'cron':
      return cronShapeFault(text);
    case 'timezone':
      return timezoneFault(text);
    case 'compression':
      return compressionFault(text);
    case 'retain': {
      const rule = retainOf(text);
      return typeof rule === 'string' ? `${shown(text)} is no rule: ${rule}` : null;
    }
    case 'url':
      return value.use === 'archive' ? archiveUrlFault(text) : endpointFault(text);
    case 'address':
      return addressFault(value.use, text);
    case 'word':
      if (value.words.includes(text)) return null;
      return `${shown(text)} is not one of ${value.words.join(', ')}${meant(text, value.words)}`;
    case 'number':
      return numberFault(value, text);
    case 'size':
      return value.off && text === 'off' ? null : sizeFault(value, text);
    case 'duration':
      return value.none && text === 'none' ? null : durationFault(value, text);
    case 'rate':
      return text === 'none' ? null : rateFault(value, text);
    case 'share':
      return text === 'off' ? null : shareFault(value, text);
  }
}

function meant(text: string, words: readonly string[]): string {
  const word = nearest(text, words);
  return word === null ? '' : `; did you mean ${word}?`;
}

/** Existence is not asked: one file serves both nodes, and `local` may be made by `create`. */
function pathFault(text: string): string | null {
  if (!text.startsWith('/')) {
    return `${shown(text)} is not a full path: hastd has no working directory; begin it with /`;
  }
  return posix.normalize(text) === '/' ? 'the root directory cannot be meant' : null;
}

/** Only what can be seen without a cron parser; the rest is asked of `checkCron` (load.ts). */
function cronShapeFault(text: string): string | null {
  const fields = text.trim().split(/\s+/).filter(Boolean).length;
  if (fields === 5 || fields === 6) return null;
  const example = 'write minute hour day month weekday, such as "0 2 * * *" for 02:00 every day';
  return `${shown(text)} has ${fields} fields instead of 5 or 6; ${example}`;
}

/** Names of the time zone data that Intl carries; plain offsets would ignore summer time. */
function timezoneFault(text: string): string | null {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    if (/^[A-Za-z]/.test(text)) return null;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return `${shown(text)} is not a time zone; write a name such as "Europe/Berlin" or UTC`;
}

function compressionFault(text: string): string | null {
  if (compressionOf(text) !== null) return null;
  if (/^zstd:/.test(text)) {
    return `${shown(text)} has no level of 1..${ZSTD_LEVEL_MAX}; write zstd:${ZSTD_LEVEL_DEFAULT}`;
  }
  const words = 'none, hole, lzf, zstd, zstd:LEVEL';
  return `${shown(text)} is not one of ${words}${meant(text, COMPRESSIONS)}`;
}

/** The form; what a bucket may be called is said when it is opened (store/url.ts). */
function archiveUrlFault(text: string): string | null {
  if (/^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[A-Za-z0-9._/-]*)?$/.test(text)) return null;
  if (/^file:\/\/\/[^\0]*$/.test(text) && !text.split('/').includes('..')) return null;
  const how = 'write s3://BUCKET/PREFIX, or file:///DIRECTORY';
  return `${shown(text)} is not the place of an archive; ${how}`;
}

function endpointFault(text: string): string | null {
  if (/^https?:\/\/[^/?#@\s]+\/?$/.test(text)) return null;
  return `${shown(text)} is not an endpoint; write http://HOST[:PORT] or https://HOST[:PORT]`;
}

function numberFault(value: { min: number; max: number }, text: string): string | null {
  const number = wholeNumber(text);
  if (number !== null && number >= value.min && number <= value.max) return null;
  return `${shown(text)} is not a number of ${value.min}..${value.max}`;
}

function sizeFault(value: { bytesMin: number; bytesMax: number }, text: string): string | null {
  const bytes = sizeBytes(text);
  if (bytes === null) {
    return `${shown(text)} is not a size; write a number with k, M, G or T, such as 4G`;
  }
  if (bytes >= value.bytesMin && bytes <= value.bytesMax) return null;
  return `${shown(text)} is outside ${value.bytesMin / 1024}k..${value.bytesMax / 2 ** 40}T`;
}

/** Without a unit 15 could be minutes: only HAST's `timeout` has always meant seconds. */
function durationFault(
  value: { secondsMin: number; secondsMax: number; bare: boolean },
  text: string,
): string | null {
  const seconds = durationSeconds(text, value.bare);
  if (seconds === null && /^[0-9]{1,9}$/.test(text)) {
    return `${text} has no unit; write ${text}s, ${text}m, ${text}h or ${text}d`;
  }
  if (seconds === null) {
    return `${shown(text)} is not a duration; write a number with s, m, h or d, such as 15m`;
  }
  if (seconds >= value.secondsMin && seconds <= value.secondsMax) return null;
  return `${shown(text)} is outside ${value.secondsMin}s..${value.secondsMax / 86_400}d`;
}

/**
 * Bits, as links are sold. 20M is refused although it looks clear: it is 20 megabytes to rsync and
 * curl, 20 megabits to others, and a limit that is wrong by 8 is worse than none.
 */
function rateFault(value: { bitsMin: number; bitsMax: number }, text: string): string | null {
  const bits = rateBits(text);
  if (bits !== null && bits >= value.bitsMin && bits <= value.bitsMax) return null;
  if (bits !== null) return `${shown(text)} is outside ${rateRange(value)}`;
  if (/^[0-9]{1,9}$/.test(text)) {
    return `${text} has no unit; write ${text}kbit, ${text}mbit or ${text}gbit a second, or none`;
  }
  const [, number, letter = '', rest = ''] =
    /^([0-9]{1,9}(?:\.[0-9]{1,3})?)([kmg])([a-z/]{0,12})$/i.exec(text) ?? [];
  if (number === undefined) {
    return `${shown(text)} is not a rate; write bits a second, such as 20mbit or 500kbit, or none`;
  }
  const unit = `${letter.toLowerCase()}bit`;
  if (/bit/i.test(rest)) return `${shown(text)} is not a rate; write ${number}${unit}`;
  const bytes = `or ${Number(number) * 8}${unit} if bytes were meant`;
  return `${shown(text)} could be bits or bytes; write ${number}${unit}, ${bytes}`;
}

const rateRange = ({ bitsMin, bitsMax }: { bitsMin: number; bitsMax: number }): string =>
  `${bitsMin / 1e3}kbit..${bitsMax / 1e9}gbit`;

function shareFault(
  value: { percentMin: number; percentMax: number },
  text: string,
): string | null {
  const share = shareOf(text);
  if (share === null) {
    const how = /^[0-9]{1,3}(\.[0-9]{1,3})?$/.test(text) ? `write ${text}%` : 'write 1%';
    return `${shown(text)} is not a share; ${how}, or off`;
  }
  // Rounded: 0.1 % of 1 times 100 is not exactly 0.1.
  const percent = Math.round(share * 1e5) / 1e3;
  if (percent >= value.percentMin && percent <= value.percentMax) return null;
  return `${shown(text)} is outside ${value.percentMin}%..${value.percentMax}%`;
}

/** The form of an address, then what its use allows. The network rules are in rules.ts. */
function addressFault(
  use: 'control' | 'export' | 'listen' | 'remote' | 'source',
  text: string,
): string | null {
  if (use === 'remote' && text === 'none') return null;
  let address: Address;
  try {
    address = addressOf(text);
  } catch (error) {
    if (error instanceof AddressError) return error.message;
    throw error;
  }
  if (use === 'control' && address.kind !== 'unix') {
    return 'hastctl is answered on a unix socket only; write unix:///run/hast/hastctl.sock';
  }
  if (use === 'export' && !isLoopback(address)) {
    const why = 'NBD has no authentication here, so that it is served only to this machine';
    return `${shown(text)} can be reached from outside: ${why}; write tcp://127.0.0.1 or unix://`;
  }
  if (use === 'source' && address.kind === 'unix') {
    return 'outgoing connections cannot come from a unix socket; write an IP address';
  }
  if (use === 'remote' && address.kind === 'tcp' && address.port === 0) {
    return `${shown(text)} has port 0, to which nobody can connect; write the other node's port`;
  }
  return null;
}
