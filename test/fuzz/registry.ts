// All targets, by name.

import type { Target } from './target.js';
import { INDEX_TARGETS } from './targets/archive-index.js';
import { ARCHIVE_TARGETS } from './targets/archives.js';
import { CHANGESET_TARGETS } from './targets/changesets.js';
import { CONTROL_TARGETS } from './targets/control.js';
import { EVENT_TARGETS } from './targets/events.js';
import { FOLDER_TARGETS } from './targets/folders.js';
import { FRAME_TARGETS } from './targets/frames.js';
import { LOOKS_TARGETS } from './targets/looks.js';
import { NBD_TARGETS } from './targets/nbd.js';
import { NODE_TARGETS } from './targets/nodes.js';
import { PEER_TARGETS } from './targets/peer.js';
import { SESSION_TARGETS } from './targets/sessions.js';
import { STATE_TARGETS } from './targets/state.js';
import { TABLE_TARGETS } from './targets/tables.js';
import { TEXT_TARGETS } from './targets/text.js';

export const TARGETS: readonly Target[] = [
  ...PEER_TARGETS,
  ...FRAME_TARGETS,
  ...CHANGESET_TARGETS,
  ...STATE_TARGETS,
  ...TABLE_TARGETS,
  ...TEXT_TARGETS,
  ...CONTROL_TARGETS,
  ...EVENT_TARGETS,
  ...NBD_TARGETS,
  ...FOLDER_TARGETS,
  ...NODE_TARGETS,
  ...SESSION_TARGETS,
  ...ARCHIVE_TARGETS,
  ...INDEX_TARGETS,
  ...LOOKS_TARGETS,
];
