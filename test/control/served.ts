// A fake daemon behind the control socket, a client of it, and what an error must be.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { controlClient } from '../../src/control/client.js';
import { scratch } from '../real.js';
import { fakeApi, serveFake } from './fake-api.js';

export const ROLE = {
  role: 'init',
  acceptLoss: false,
  acceptDrift: false,
  alone: false,
} as const;

export async function served(t: TestContext, bugs: unknown[] = []) {
  const path = join(scratch(t), 'control.sock');
  const api = fakeApi();
  const server = await serveFake(path, api, bugs);
  t.after(() => server.close());
  return { path, api, server, client: controlClient(path) };
}

export const code = (wanted: string) => (error: unknown) => {
  assert.equal(codeOf(error), wanted);
  return true;
};
