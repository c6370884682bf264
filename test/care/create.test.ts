// `hastctl create` of a disk that is there: what it holds is flushed before anybody is told that
// the resource exists.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FileHandle, Files } from '../../src/base/files.js';
import { nodeFiles } from '../../src/base/node-files.js';
import { createResource } from '../../src/care/create.js';
import { scratch } from '../real.js';

test('the disk is flushed, and before the state is there', async (t) => {
  const folder = scratch(t);
  const local = join(folder, 'disk.img');
  writeFileSync(local, Buffer.alloc(65_536, 1));
  const synced: string[] = [];
  const real = nodeFiles(() => {});
  const files: Files = {
    ...real,
    open: async (path, mode) => {
      const handle = await real.open(path, mode);
      return new Proxy<FileHandle>(handle, {
        get: (inner, name) => {
          const value: unknown = Reflect.get(inner, name, inner);
          if (name === 'sync') synced.push(path);
          return typeof value === 'function' ? value.bind(inner) : value;
        },
      });
    },
  };
  await createResource(files, {
    statedir: join(folder, 'state'),
    name: 'vm1',
    local,
    extentBytes: 2_097_152,
    keepdirty: 64,
    mediaBytes: null,
    force: false,
    nowMs: 0,
  });
  assert.equal(synced[0], local);
  assert.ok(synced.length > 1, 'the state after it');
});
