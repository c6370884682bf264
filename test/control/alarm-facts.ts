// A primary of one target as its alarms are made of, at a time that stands still.
import type { AlarmFacts } from '../../src/control/alarms.js';
import type { TargetStatus } from '../../src/control/api.js';
import { counters } from './fake-api.js';

export const NOW = Date.parse('2026-11-20T12:00:00.000Z');
/** Seconds. */
export const HOUR = 3600;
export const DAY = 24 * HOUR;

/** ISO time so many seconds ago. */
export const iso = (secondsAgo: number): string => new Date(NOW - secondsAgo * 1000).toISOString();

/** It has had its role for long, and nothing is wrong but what `changes` says. */
export const facts = (one: TargetStatus, changes: Partial<AlarmFacts> = {}): AlarmFacts => ({
  role: 'primary',
  error: null,
  hangsSince: null,
  spillBytes: 0,
  spillBytesMax: 1000,
  counters: counters(),
  targets: [one],
  orderedRole: 'primary',
  sinceMs: NOW - 40 * DAY * 1000,
  ...changes,
});
