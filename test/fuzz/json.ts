// Changes a JSON text by its structure: a value to another value or type, a field gone, doubled or
// under another name, nesting without end. A first line that is no JSON (the header of
// resource.json) and all other lines stay as they are.
import type { Random } from '../../src/base/random.js';

const DEPTH = 5000;
const NAMES = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'length',
  '',
  'x',
  '\u0000',
];
const VALUES: readonly unknown[] = [
  ...[null, true, false, 0, -0, -1, 1, 0.5, 1e308, -1e308, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 53 - 1],
  ...[2 ** 53, 1e21, 8_640_000_000_000_000, 8_640_000_000_000_001, '', 'x', '0', '-1', 'null'],
  ...['__proto__', '\u0000', '\ud800', 'ab'.repeat(16), 'AB'.repeat(16), 'é'.repeat(300)],
  ...['2026-11-20T02:00:00.000Z', '+275760-09-13T00:00:00.001Z', [], {}, [[]], [null], { x: {} }],
];

/** Null when no line of `bytes` is JSON. */
export function mutateJson(
  bytes: Uint8Array,
  words: readonly string[],
  random: Random,
): Uint8Array | null {
  const lines = Buffer.from(bytes).toString('utf8').split('\n');
  const places = lines.flatMap((line, at) => (/^\s*[{[]/.test(line) ? [at] : []));
  const at = places[random.below(Math.max(1, places.length))];
  if (at === undefined) return null;
  try {
    const value: unknown = JSON.parse(lines[at] ?? '');
    if (random.below(64) === 0) lines[at] = nested(lines[at] ?? '', random);
    else lines[at] = JSON.stringify(changed(value, words, random)) ?? '';
  } catch {
    return null; // no JSON, or nested too deeply to be written
  }
  return Buffer.from(lines.join('\n'));
}

function nested(text: string, random: Random): string {
  const [open, close] = random.below(2) === 0 ? ['[', ']'] : ['{"a":', '}'];
  const deep = `${open.repeat(DEPTH)}1${close.repeat(random.below(4) === 0 ? 0 : DEPTH)}`;
  const at = text.indexOf(':', random.below(text.length + 1));
  return at < 0 ? deep : `${text.slice(0, at + 1)}${deep}${text.slice(at + 1)}`;
}

/** A copy with one place of it changed; deeper places as likely as shallow ones. */
function changed(value: unknown, words: readonly string[], random: Random): unknown {
  const inner = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  if (inner.length === 0 || random.below(5) === 0) return other(value, words, random);
  const key = inner[random.below(inner.length)] ?? '';
  if (Array.isArray(value)) return inArray(value, Number(key), words, random);
  const fields: Record<string, unknown> = Object.assign(Object.create(null), value);
  switch (random.below(8)) {
    case 0:
      delete fields[key];
      break;
    case 1:
      fields[NAMES[random.below(NAMES.length)] ?? ''] = fields[key];
      break;
    case 2:
      fields[words[random.below(Math.max(1, words.length))] ?? key] = other(null, words, random);
      break;
    default:
      fields[key] = changed(fields[key], words, random);
  }
  return fields;
}

function inArray(
  value: readonly unknown[],
  at: number,
  words: readonly string[],
  random: Random,
): unknown[] {
  const list = [...value];
  const how = random.below(6);
  if (how === 0) list.splice(at, 1);
  else if (how === 1) list.splice(at, 0, list[at]);
  else list[at] = changed(list[at], words, random);
  return list;
}

function other(value: unknown, words: readonly string[], random: Random): unknown {
  if (typeof value === 'number' && random.below(2) === 0) return value + random.below(5) - 2;
  if (typeof value === 'string' && random.below(2) === 0) {
    const at = random.below(value.length + 1);
    return value.slice(0, at) + String.fromCharCode(random.below(0x200)) + value.slice(at);
  }
  if (words.length > 0 && random.below(3) === 0) return words[random.below(words.length)];
  return VALUES[random.below(VALUES.length)];
}
