// What is written behind the @ of a restore point: `latest`, a number, a time, or the name of a
// pinned point. One reading for archives and replicas. A time names the newest point at or before
// it; it says its zone, since two o'clock is somewhere else another moment. Times are wall
// milliseconds. Pure.

export type PointSpec =
  | { readonly kind: 'latest' }
  | { readonly kind: 'number'; readonly number: number }
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'name'; readonly name: string };

/** What is chosen from. */
export interface NamedPoint {
  readonly number: number;
  readonly timeMs: number;
  /** Of a pinned point. */
  readonly name: string | null;
}

const NAME_BYTES_MAX = 64;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/;
const EXAMPLES = 'latest, a number such as 42, a time such as 2026-11-20T02:00Z, or a name';

/** Reads what stands behind the @; a string says what is wrong with it. */
export function pointSpec(text: string): PointSpec | string {
  if (text === 'latest') return { kind: 'latest' };
  if (/^\d{1,15}$/.test(text)) return { kind: 'number', number: Number(text) };
  if (/^\d{4}-\d{2}/.test(text)) {
    const timeMs = TIME.test(text) ? Date.parse(text) : Number.NaN;
    if (!Number.isNaN(timeMs)) return { kind: 'time', timeMs };
    return `${text} is no time; write 2026-11-20T02:00Z, or with its offset 2026-11-20T03:00+01:00`;
  }
  const fault = pointNameFault(text);
  return fault === null ? { kind: 'name', name: text } : `${fault}; a point is ${EXAMPLES}`;
}

/** Why a point cannot be called so; null: it can. */
export function pointNameFault(name: string): string | null {
  const shown = JSON.stringify(name.slice(0, NAME_BYTES_MAX));
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(name)) {
    return `${shown} is no name: those have letters, digits and . _ -`;
  }
  if (name.length > NAME_BYTES_MAX) return `${shown} is longer than ${NAME_BYTES_MAX} characters`;
  if (name === 'latest' || /^\d+$/.test(name) || /^\d{4}-\d{2}/.test(name)) {
    return `${shown} is read as something else than a name`;
  }
  return null;
}

/** The point that is meant; null: there is none. In any order. */
export function pickPoint<P extends NamedPoint>(points: readonly P[], spec: PointSpec): P | null {
  const newestFirst = [...points].sort((a, b) => b.number - a.number);
  switch (spec.kind) {
    case 'latest':
      return newestFirst[0] ?? null;
    case 'number':
      return newestFirst.find(({ number }) => number === spec.number) ?? null;
    case 'time':
      return newestFirst.find(({ timeMs }) => timeMs <= spec.timeMs) ?? null;
    case 'name':
      return newestFirst.find(({ name }) => name === spec.name) ?? null;
  }
}

/** `vm1@42` in its two parts; without an @, `point` is null. The last @ counts, but in a directory
 * of a path: `file:///mnt/usb@a/vm1` names no point. */
export function splitAtPoint(text: string): {
  readonly what: string;
  readonly point: string | null;
} {
  const at = text.lastIndexOf('@');
  if (at < 0 || at < text.lastIndexOf('/')) return { what: text, point: null };
  return { what: text.slice(0, at), point: text.slice(at + 1) };
}
