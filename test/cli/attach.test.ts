// The lines that attach a disk to a guest: forms of NBD URI, quoting, and QEMU itself as referee
// where it is installed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { attachLines } from '../../src/cli/attach.js';
import { needTool, scratch } from '../real.js';

test('attach: other forms of URI, and nothing made up for unknown ones', () => {
  const tcp = attachLines('vm1', 'nbd://127.0.0.1:18500/disk');
  assert.match(
    tcp?.qemu ?? '',
    /server.type=inet,server.host=127.0.0.1,server.port=18500,export=disk/,
  );
  assert.match(tcp?.libvirt ?? '', /<host name='127.0.0.1' port='18500'\/>/);
  assert.match(
    attachLines('vm1', 'nbd://[::1]/d')?.qemu ?? '',
    /server.host=::1,server.port=10809/,
  );
  assert.equal(attachLines('vm1', 'http://127.0.0.1/d'), null);
  assert.equal(attachLines('vm1', 'nbd+unix:///d'), null);
  assert.equal(attachLines('vm1', 'nbd://h/%ff'), null);
  assert.equal(attachLines('vm1', 'no uri'), null);
});

test('attach: commas, quotes and long names stay inside their place', () => {
  const path = "/srv/a,b'c d";
  const made = attachLines(
    `${'n'.repeat(40)}@`,
    `nbd+unix:///vm1?socket=${encodeURIComponent(path)}`,
  );
  assert.match(made?.qemu ?? '', /^-blockdev 'driver=nbd,node-name=hast-n{26},/);
  assert.ok(made?.qemu.includes(`server.path=/srv/a,,b'\\''c d,`));
  assert.ok(made?.libvirt.includes("socket='/srv/a,b&apos;c d'"));
});

test('attach: QEMU opens the disk with the line as printed', async (t) => {
  if (!needTool(t, 'qemu-nbd', 'qemu-img', 'sh')) return;
  const folder = scratch(t);
  const disk = join(folder, 'disk.img');
  const socket = join(folder, 'a, b.nbd');
  writeFileSync(disk, '');
  truncateSync(disk, 1_048_576);
  const server = spawn('qemu-nbd', ['-f', 'raw', '-x', 'vm1', '-k', socket, '-t', disk]);
  t.after(() => server.kill());
  while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 20));
  const made = attachLines('vm1', `nbd+unix:///vm1?socket=${encodeURIComponent(socket)}`);
  // The shell unquotes the line as an operator's would; qemu-img takes the same keys.
  const keys = /^-blockdev (.*) -device/.exec(made?.qemu ?? '')?.[1] ?? '';
  const child = spawn('sh', ['-c', `qemu-img info --output=json --image-opts ${keys}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const text: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => text.push(piece));
  const [status] = await once(child, 'close');
  assert.equal(status, 0);
  assert.equal(JSON.parse(Buffer.concat(text).toString())['virtual-size'], 1_048_576);
});
