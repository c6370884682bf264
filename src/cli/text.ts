// Small words of the printed pages: times, ages, shares, aligned columns. Pure.
// Times are wall milliseconds; ages are against a `nowMs` that is handed in.
import { humanBytes, humanSeconds } from '../base/units.js';
import type { PointStatus, RoundProgress } from '../control/api.js';

/** `2026-11-20T02:00:00Z`; `-` for null. */
export const shortTime = (iso: string | null): string =>
  iso === null ? '-' : iso.replace(/\.\d+Z$/, 'Z');

/** `3h 5m`, counted from an ISO time; never negative. */
export const age = (iso: string, nowMs: number): string =>
  humanSeconds((nowMs - Date.parse(iso)) / 1000);

/** `vm1@42`. */
export const pointName = (resource: string, point: Pick<PointStatus, 'number'>): string =>
  `${resource}@${point.number}`;

/** `1234 (1.2 KiB)`, as HAST prints sizes; `-` for null. */
export const exactBytes = (bytes: number | null): string =>
  bytes === null ? '-' : `${bytes} (${humanBytes(bytes)})`;

/** Rows as columns two spaces apart; the last column is not padded. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}

const KINDS = { round: 'round', pass: 'first copy', settle: 'comparing' } as const;

/** `round: 40 % of 1.2 GiB, 3.1 MiB/s, 4m left`. */
export function progressText(round: RoundProgress): string {
  const share = round.totalBytes > 0 ? Math.floor((100 * round.doneBytes) / round.totalBytes) : 0;
  const left = round.etaSeconds === null ? 'end unknown' : `${humanSeconds(round.etaSeconds)} left`;
  const again = round.resentBytes > 0 ? `, ${humanBytes(round.resentBytes)} sent again` : '';
  return (
    `${KINDS[round.kind]}: ${Math.min(100, share)} % of ${humanBytes(round.totalBytes)}, ` +
    `${humanBytes(round.bytesPerSecond)}/s, ${left}${again}`
  );
}

/** `40 % of 1.2 GiB, 310 MiB/s, 4m left`; the rate is the average since it began. */
export function workText(done: number, total: number, seconds: number, inBytes: boolean): string {
  const share = total > 0 ? Math.min(100, Math.floor((100 * done) / total)) : 0;
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 ? `${humanSeconds((total - done) / rate)} left` : 'end unknown';
  if (!inBytes) return `${share} % of ${total}, ${left}`;
  return `${share} % of ${humanBytes(total)}, ${humanBytes(rate)}/s, ${left}`;
}

/** `[########------------]`, `width` marks between the brackets. */
export function progressBar(round: RoundProgress, width: number): string {
  const share = round.totalBytes > 0 ? round.doneBytes / round.totalBytes : 0;
  const full = Math.max(0, Math.min(width, Math.floor(share * width)));
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`;
}

/** Bits a second in powers of 1000, as hast.conf(5) has them: `20 Mbit/s`. */
export function bitRate(bitsPerSecond: number): string {
  const units = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s'];
  let [value, step] = [bitsPerSecond, 0];
  while (value >= 1000 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  return `${Number(value.toFixed(1))} ${units[step]}`;
}

/** `1 chunk`, `3 chunks`. */
export const plural = (count: number, word: string): string =>
  `${count} ${word}${count === 1 ? '' : 's'}`;
