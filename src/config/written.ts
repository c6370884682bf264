// Effective values as they would be written in the file: for `hastctl config` and for what a reload
// says of changes. Durations are seconds, sizes bytes, rates bits a second, shares 0..1.
import type { CompressionSetting, ScheduleSetting } from './settings.js';

/** The largest unit that divides `value`, as text; `units` from the largest down to 1. */
function inUnits(value: number, units: readonly (readonly [number, string])[]): string {
  const [size, unit] = units.find(([factor]) => value % factor === 0) ?? [1, ''];
  return `${value / size}${unit}`;
}

const DURATIONS = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'm'],
  [1, 's'],
] as const;
const SIZES = [
  [2 ** 40, 'T'],
  [2 ** 30, 'G'],
  [2 ** 20, 'M'],
  [2 ** 10, 'k'],
] as const;
const RATES = [
  [1e9, 'gbit'],
  [1e6, 'mbit'],
] as const;

/** `90m`; null is `none`. */
export const durationText = (seconds: number | null): string =>
  seconds === null ? 'none' : inUnits(seconds, DURATIONS);

/** `4G`. */
export const sizeText = (bytes: number): string => inUnits(bytes, SIZES);

/** `2G`; 0 is `off`. */
export const sizeOrOff = (bytes: number): string => (bytes === 0 ? 'off' : sizeText(bytes));

/** `20mbit`, `1.5kbit`; null is `none`. */
export function rateText(bits: number | null): string {
  if (bits === null) return 'none';
  return bits % 1e6 === 0 ? inUnits(bits, RATES) : `${bits / 1e3}kbit`;
}

/** `1%`; 0 is `off`. */
export const shareText = (share: number): string =>
  share === 0 ? 'off' : `${Math.round(share * 1e5) / 1e3}%`;

/** lzf in the file is shown as what it means. */
export const compressionText = (setting: CompressionSetting): string =>
  setting.codec === 'zstd' ? `zstd:${setting.level}` : setting.codec;

/** `interval 15m`, `schedule "0 2 * * *"`, and with its time zone if one is set. */
export function scheduleText(setting: ScheduleSetting): string {
  if (setting.kind === 'interval') return `interval ${durationText(setting.seconds)}`;
  const zone = setting.timezone === null ? '' : ` timezone ${setting.timezone}`;
  return `schedule "${setting.expression}"${zone}`;
}

export const onOff = (on: boolean): string => (on ? 'on' : 'off');
