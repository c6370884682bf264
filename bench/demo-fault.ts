// What can go wrong in the demonstration (npm start), apart from a difference found: that is a
// verdict. The sentences are all that a user sees, so each says what to do where that is known.
import { errorClass } from '../src/base/errors.js';

export type DemoFault =
  | { code: 'DEMO_USAGE'; text: string }
  | { code: 'DEMO_NO_SPACE'; folder: string; wanted: string; free: string }
  | { code: 'DEMO_TOOL_FAILED'; tool: string; text: string }
  | { code: 'DEMO_COMMAND_FAILED'; command: string; status: number; text: string }
  | { code: 'DEMO_NODE_ENDED'; node: string; how: string; log: string; text: string }
  | { code: 'DEMO_STEP_FAILED'; text: string }
  | { code: 'DEMO_INTERRUPTED'; signal: string };

export const DemoError = errorClass<DemoFault>('DemoError', {
  DEMO_USAGE: (f) => f.text,
  DEMO_NO_SPACE: (f) =>
    `${f.folder}: needs about ${f.wanted}, has ${f.free} free (TMPDIR names another folder, ` +
    '--size a smaller disk)',
  DEMO_TOOL_FAILED: (f) => `${f.tool}: ${f.text}`,
  DEMO_COMMAND_FAILED: (f) => `${f.command} ended with status ${f.status}: ${f.text}`,
  DEMO_NODE_ENDED: (f) => `hastd of node ${f.node} ended (${f.how}); ${f.log} ends with: ${f.text}`,
  DEMO_STEP_FAILED: (f) => f.text,
  DEMO_INTERRUPTED: (f) => `interrupted by ${f.signal}`,
});
