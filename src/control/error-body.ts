// How an error travels: `{ error: { code, message, exitStatus, facts } }` and an HTTP status.
// The facts are the fault's fields as JSON; bytes become lower-case hexadecimal. Pure.
import { codeOf, describeError, HastError } from '../base/errors.js';
import { hex } from '../base/random.js';
import { exitStatusOf } from './exit-status.js';

export interface ErrorBody {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly exitStatus: number;
    readonly facts: Readonly<Record<string, unknown>>;
  };
}

/** The body for an error; one without a code of its own is CONTROL_FAILED. */
export function errorBody(error: unknown): ErrorBody {
  const { code: _code, ...facts } = error instanceof HastError ? error.fault : { code: '' };
  return {
    error: {
      code: codeOf(error) ?? 'CONTROL_FAILED',
      message: describeError(error),
      exitStatus: exitStatusOf(codeOf(error)),
      facts,
    },
  };
}

const ABSENT = ['CONTROL_NO_RESOURCE', 'CONTROL_NO_TARGET', 'POINT_UNKNOWN'];
const CONFLICTS = [
  ...['CONTROL_WRONG_ROLE', 'STATE_EXISTS', 'LOSS_NOT_ACCEPTED', 'NOTHING_TO_CANCEL'],
  ...['POINT_READERS', 'POINTS_OPEN', 'EXPORT_TAKEN', 'EXPORT_NOWHERE'],
  ...['RESIZE_GUESTS', 'RESIZE_SMALLER', 'RESIZE_DISK', 'CONFIG_INVALID'],
];

/** 404 unknown resource or target, 400 bad request, 409 not possible in this state, else 500. */
export function httpStatusOf(error: unknown): number {
  const code = codeOf(error) ?? '';
  if (ABSENT.includes(code)) return 404;
  if (code === 'CONTROL_BAD_REQUEST') return 400;
  return CONFLICTS.includes(code) ? 409 : 500;
}

/** JSON text of an answer. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) => {
    if (field instanceof Uint8Array) return hex(field);
    return typeof field === 'bigint' ? field.toString() : field;
  });
}
