// An answer that lacks what it must have is an error with a code, not a failure in the middle of a
// table; one of a later release, with words and fields that are not known here, is shown.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { renderList } from '../../src/cli/render-list.js';
import { renderStatus } from '../../src/cli/render-status.js';
import { controlClient } from '../../src/control/client.js';
import { scratch } from '../real.js';
import { fakeApi, resource, target } from './fake-api.js';

/** A client of something that answers everything with `value`. */
async function answering(t: TestContext, value: unknown) {
  const path = join(scratch(t), 'control.sock');
  const server = createServer((_request, response) => void response.end(JSON.stringify(value)));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  return controlClient(path);
}

const failsAt = (field: RegExp) => (error: unknown) => {
  assert.equal(codeOf(error), 'CONTROL_FAILED', String(error));
  assert.match(String(error), field);
  return true;
};

const never = new AbortController().signal;

test('every answer is looked at before it is used', async (t) => {
  for (const value of [null, [], 'x', 0, {}]) {
    const client = await answering(t, value);
    const role = { role: 'init', acceptLoss: false, acceptDrift: false, alone: false } as const;
    const asked = [
      client.status([]),
      client.rounds('vm1'),
      client.points('vm1'),
      client.estimate('vm1'),
      client.sync('vm1', { wait: null }, never),
      client.verify('vm1', false, never),
      client.role('vm1', role),
      client.pause('vm1', { target: null }),
      client.reload(),
    ];
    for (const one of asked) await assert.rejects(one, failsAt(/same release/));
  }
});

test('the field that is missing is named', async (t) => {
  const { remote: _, ...without } = target();
  const resources = [{ ...resource(), targets: [without] }];
  const client = await answering(t, { node: 'a', version: '1', pid: 1, resources });
  await assert.rejects(client.status([]), failsAt(/resources\.0\.targets\.0\.remote/));
});

test('a later release may know more words and fields', async (t) => {
  const answer = await fakeApi().status([]);
  const [first] = answer.resources;
  const resources = [{ ...first, role: 'observer', later: 1 }];
  const client = await answering(t, { ...answer, resources });
  const got = await client.status([]);
  assert.deepEqual(got, { ...answer, resources });
  assert.match(renderStatus(got, 0) + renderList(got, 0), /observer/);
});
