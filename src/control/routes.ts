// Which HTTP request asks for what: method, path and body become one checked value. Pure.
// Bodies are JSON objects; an empty body is an empty object; unknown fields are refused, so that
// a misspelt `acceptloss` is not taken for a no. Names are percent-decoded.
import { z } from 'zod';
import { DISK_BYTES_MAX } from '../base/units.js';
import type {
  CreateRequest,
  PointRequest,
  ResizeRequest,
  RoleRequest,
  SetRequest,
  SyncRequest,
} from './api.js';
import type { PinRequest, PruneRequest, RepackRequest, TargetRequest } from './retention-api.js';

/** A request that makes sense, ready for `ControlApi`. */
export type Call =
  | { readonly kind: 'status'; readonly names: readonly string[] }
  | { readonly kind: 'create'; readonly name: string; readonly body: CreateRequest }
  | { readonly kind: 'role'; readonly name: string; readonly body: RoleRequest }
  | { readonly kind: 'sync'; readonly name: string; readonly body: SyncRequest }
  | { readonly kind: 'verify'; readonly name: string; readonly deep: boolean }
  | { readonly kind: 'point'; readonly name: string; readonly body: PointRequest }
  | { readonly kind: 'rounds'; readonly name: string }
  | { readonly kind: 'points'; readonly name: string }
  | { readonly kind: 'estimate'; readonly name: string }
  | {
      readonly kind: 'pause' | 'resume' | 'cancel';
      readonly name: string;
      readonly body: TargetRequest;
    }
  | { readonly kind: 'prune'; readonly name: string; readonly body: PruneRequest }
  | { readonly kind: 'pin'; readonly name: string; readonly body: PinRequest }
  | { readonly kind: 'repack'; readonly name: string; readonly body: RepackRequest }
  | { readonly kind: 'set'; readonly name: string; readonly body: SetRequest }
  | { readonly kind: 'resize'; readonly name: string; readonly body: ResizeRequest }
  | { readonly kind: 'config' }
  | { readonly kind: 'reload' }
  | { readonly kind: 'stop' };

/** A request that makes none: an HTTP status and a sentence. */
export interface BadCall {
  readonly kind: 'bad';
  readonly status: 400 | 404 | 405;
  readonly text: string;
}

/** Longest name of the configuration. */
const NAME_LENGTH_MAX = 64;
/** Longest name of a point; times are shorter. */
const POINT_LENGTH_MAX = 64;
/** More than any line; what is meant to be faster has no limit. */
const RATE_BITS_MAX = 10 ** 13;

const bytes = z.number().int().min(1).max(DISK_BYTES_MAX).nullable().default(null);
const createBody = z.strictObject({
  extentBytes: bytes,
  keepdirty: z
    .number()
    .int()
    .min(0)
    .max(2 ** 32)
    .nullable()
    .default(null),
  mediaBytes: bytes,
  force: z.boolean().default(false),
});
const roleBody = z.strictObject({
  role: z.enum(['init', 'primary', 'secondary']),
  acceptLoss: z.boolean().default(false),
  acceptDrift: z.boolean().default(false),
  alone: z.boolean().default(false),
});
const syncBody = z.strictObject({ wait: z.enum(['applied', 'commit']).nullable().default(null) });
const verifyBody = z.strictObject({ deep: z.boolean().default(false) });
const pointText = z.string().min(1).max(POINT_LENGTH_MAX);
const pointBody = z.strictObject({
  what: z.enum(['read', 'check', 'serve', 'diff']),
  point: pointText,
  from: pointText.nullable().default(null),
});
const target = z.string().min(1).max(NAME_LENGTH_MAX).nullable().default(null);
const targetBody = z.strictObject({ target });
const pruneBody = z.strictObject({ target, dryRun: z.boolean().default(false) });
const pinBody = z.strictObject({ point: pointText, label: pointText.nullable() });
const repackBody = z.strictObject({
  target,
  belowPercent: z.number().int().min(1).max(100).default(50),
  dryRun: z.boolean().default(false),
});
const setBody = z
  .strictObject({
    target,
    rateBitsPerSecond: z.number().int().min(0).max(RATE_BITS_MAX).nullable().exactOptional(),
  })
  .refine((body) => body.rateBitsPerSecond !== undefined, { error: 'nothing to set' });
const resizeBody = z.strictObject({ sizeBytes: bytes, disconnect: z.boolean().default(false) });
const emptyBody = z.strictObject({});

const bad = (status: BadCall['status'], text: string): BadCall => ({ kind: 'bad', status, text });

const METHODS: Readonly<Record<string, 'GET' | 'POST'>> = {
  status: 'GET',
  config: 'GET',
  reload: 'POST',
  stop: 'POST',
  estimate: 'GET',
  rounds: 'GET',
  points: 'GET',
  create: 'POST',
  role: 'POST',
  sync: 'POST',
  verify: 'POST',
  point: 'POST',
  pause: 'POST',
  resume: 'POST',
  cancel: 'POST',
  prune: 'POST',
  pin: 'POST',
  repack: 'POST',
  set: 'POST',
  resize: 'POST',
};
const GLOBAL = ['status', 'config', 'reload', 'stop'];

/** Reads a request: `target` is path and query as sent, `bodyText` the whole body. */
export function readCall(method: string, target: string, bodyText: string): Call | BadCall {
  const path = splitPath(target);
  if (path === null) return bad(400, `cannot read the path ${target}`);
  const [version, first, second, third] = path.parts;
  const verb = path.parts.length === 2 ? first : third;
  const known = version === 'v1' && verb !== undefined && Object.hasOwn(METHODS, verb);
  const shaped =
    path.parts.length === 2
      ? GLOBAL.includes(verb ?? '')
      : path.parts.length === 4 && first === 'resources' && !GLOBAL.includes(verb ?? '');
  if (!known || !shaped) return bad(404, `there is nothing at ${target} (see hastctl(8), HTTP)`);
  if (method !== METHODS[verb]) return bad(405, `${verb} wants ${METHODS[verb]}, not ${method}`);
  return withBody(verb, second ?? '', path.names, bodyText);
}

function withBody(
  verb: string,
  name: string,
  names: readonly string[],
  bodyText: string,
): Call | BadCall {
  switch (verb) {
    case 'status':
      return { kind: 'status', names };
    case 'config':
      return { kind: 'config' };
    case 'rounds':
      return { kind: 'rounds', name };
    case 'points':
      return { kind: 'points', name };
    case 'estimate':
      return { kind: 'estimate', name };
    case 'create':
      return checked(createBody, bodyText, (body) => ({ kind: 'create', name, body }));
    case 'role':
      return checked(roleBody, bodyText, (body) => ({ kind: 'role', name, body }));
    case 'sync':
      return checked(syncBody, bodyText, (body) => ({ kind: 'sync', name, body }));
    case 'verify':
      return checked(verifyBody, bodyText, (body) => ({ kind: 'verify', name, deep: body.deep }));
    case 'point':
      return checked(pointBody, bodyText, (body) => ({ kind: 'point', name, body }));
    case 'pause':
    case 'resume':
    case 'cancel':
      return checked(targetBody, bodyText, (body) => ({ kind: verb, name, body }));
    case 'prune':
      return checked(pruneBody, bodyText, (body) => ({ kind: 'prune', name, body }));
    case 'pin':
      return checked(pinBody, bodyText, (body) => ({ kind: 'pin', name, body }));
    case 'repack':
      return checked(repackBody, bodyText, (body) => ({ kind: 'repack', name, body }));
    case 'set':
      return checked(setBody, bodyText, (body) => ({ kind: 'set', name, body }));
    case 'resize':
      return checked(resizeBody, bodyText, (body) => ({ kind: 'resize', name, body }));
    case 'reload':
      return checked(emptyBody, bodyText, () => ({ kind: 'reload' }));
    default:
      return checked(emptyBody, bodyText, () => ({ kind: 'stop' }));
  }
}

function splitPath(target: string): { parts: string[]; names: string[] } | null {
  const [path = '', query = ''] = target.split('?', 2);
  try {
    const parts = path.split('/').slice(1).map(decodeURIComponent);
    return { parts, names: new URLSearchParams(query).getAll('name') };
  } catch {
    return null;
  }
}

function checked<T>(schema: z.ZodType<T>, bodyText: string, call: (body: T) => Call) {
  let value: unknown = {};
  try {
    if (bodyText.trim() !== '') value = JSON.parse(bodyText);
  } catch {
    return bad(400, 'the body is not JSON');
  }
  const result = schema.safeParse(value);
  if (result.success) return call(result.data);
  const problems = result.error.issues.map(
    (issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`,
  );
  return bad(400, problems.join('; '));
}
