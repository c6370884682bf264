// All targets, by name.

import type { Target } from './target.js';
import { CHANGESET_TARGETS } from './targets/changesets.js';
import { FRAME_TARGETS } from './targets/frames.js';
import { NODE_TARGETS } from './targets/nodes.js';
import { PEER_TARGETS } from './targets/peer.js';
import { SESSION_TARGETS } from './targets/sessions.js';
import { STATE_TARGETS } from './targets/state.js';
import { TABLE_TARGETS } from './targets/tables.js';

export const TARGETS: readonly Target[] = [
  ...PEER_TARGETS,
  ...FRAME_TARGETS,
  ...CHANGESET_TARGETS,
  ...STATE_TARGETS,
  ...TABLE_TARGETS,
  ...NODE_TARGETS,
  ...SESSION_TARGETS,
];
