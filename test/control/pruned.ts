// An answer of a prune, for tests of both ends.
import type { PruneAnswer } from '../../src/control/retention-api.js';

export const PRUNED: PruneAnswer = {
  replica: null,
  archives: [
    {
      target: 'offsite',
      url: 's3://backup/hast/vm1',
      dryRun: true,
      removed: [{ number: 40, time: '2026-11-18T02:00:00Z' }],
      pinned: [{ number: 12, time: '2026-10-01T02:00:00Z' }],
      kept: [
        { number: 42, time: '2026-11-20T02:00:00Z', keptBy: ['newest', 'last'] },
        { number: 41, time: '2026-11-19T02:00:00Z', keptBy: [] },
      ],
      packs: 1,
      packBytes: 33_554_432,
      heldPacks: 2,
      heldBytes: 4096,
    },
  ],
};
