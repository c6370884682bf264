// Loaded into a hastd by `node --import`: its wall clock is ahead of the machine's by the hours
// that the file HAST_TEST_HOURS names has, asked each time. Points then grow old while a test waits
// for seconds; no other time moves, and requests to a store are signed with the machine's.
import { readFileSync } from 'node:fs';
import { systemClock } from '../../src/base/clock.js';

const HOUR_MS = 3_600_000;
const file = process.env['HAST_TEST_HOURS'];

if (file !== undefined) {
  const hours = (): number => Number(readFileSync(file, 'utf8'));
  Object.assign(systemClock, { wallMs: () => Date.now() + hours() * HOUR_MS });
}
