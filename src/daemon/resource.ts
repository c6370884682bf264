// A resource of this node as control keeps it: its settings, the role it has, who uses it.
import { Mutex } from '../base/sync.js';
import type { ResourceSettings } from '../config/settings.js';
import type { Role } from '../control/api.js';
import type { ExportInfo } from '../nbd/protocol.js';
import type { Timetable } from './scheduler.js';

export interface Resource {
  /** Replaced by a reload of the configuration. */
  settings: ResourceSettings;
  /** Settings of the file that are taken over with the next role; null: none wait, as without a
   * role. */
  pending: ResourceSettings | null;
  /** One change of role at a time. */
  readonly order: Mutex;
  role: Role;
  /** Wall time at which it was taken. */
  sinceMs: number;
  /** What an operator gave last, by the state; null: there is no state, or it cannot be read. */
  ordered: Role | null;
  /** Why it is not what it should be; null: it is. */
  error: string | null;
  /** Aborted when an operator decides about the role, or hastd ends: nobody asks peers any more
   * whether the remembered role may be taken up. */
  asking: AbortController;
  readonly timetables: Map<string, Timetable>;
  /** What guests are let in to; null: nothing. */
  offered: ExportInfo | null;
  /** NBD connections now. */
  guests: number;
}

export const newResource = (settings: ResourceSettings, nowMs: number): Resource => ({
  settings,
  pending: null,
  order: new Mutex(),
  role: 'init',
  sinceMs: nowMs,
  ordered: null,
  error: null,
  asking: new AbortController(),
  timetables: new Map(),
  offered: null,
  guests: 0,
});
