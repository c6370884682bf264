// An answer of a repack, for tests of both ends.
import type { RepackAnswer } from '../../src/control/retention-api.js';

export const REPACKED: RepackAnswer = {
  archives: [
    {
      target: 'offsite',
      url: 's3://backup/hast/vm1',
      dryRun: true,
      packs: 12,
      packBytes: 402_653_184,
      neededBytes: 100_663_296,
      sendBytes: 167_772_160,
      puts: 8,
      holders: [
        { number: 42, time: '2026-11-20T02:00:00.000Z' },
        { number: 41, time: '2026-11-19T02:00:00.000Z' },
        { number: 12, time: '2026-10-01T02:00:00.000Z' },
      ],
      heldPacks: 1,
      heldBytes: 33_554_432,
    },
  ],
};
