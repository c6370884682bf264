// Archive blocks: what they inherit, what they are to a node, and that an archive is no peer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '../../src/base/assert.js';
import { retainText } from '../../src/config/retain.js';
import { settingsOf } from './material.js';

const twoNodes = (global: string, resource: string, onA = ''): string =>
  `${global} listen tcp://127.0.0.1:9457
   resource vm1 { ${resource}
     on a { local /srv/a.img remote tcp://127.0.0.1:1 ${onA} }
     on b { local /srv/b.img remote tcp://127.0.0.1:2 }
   }`;

const RULE = 'last 24 hourly 48 daily 14 weekly 8 monthly 12';

test('an archive is a target at the url of its resource, with settings of its own', () => {
  const text = twoNodes(
    'timezone UTC rate 20mbit',
    `archive offsite {
       url s3://bucket/prefix/ endpoint https://s3.example.org:9000 region r1 class STANDARD_IA
       key /etc/hast.archive.key checksums required verify 2G retain ${RULE} schedule "0 2 * * *"
     }`,
  );
  for (const node of ['a', 'b']) {
    const [peer, archive] = present(settingsOf(text, node).resources[0], 'vm1').targets;
    assert.equal(peer?.archive, null);
    assert.equal(peer?.retain.last, 24);
    assert.equal(archive?.name, 'offsite');
    assert.equal(archive.remote, 's3://bucket/prefix/vm1');
    assert.equal(archive.source, null);
    assert.equal(archive.rateBitsPerSecond, 20_000_000);
    assert.equal(retainText(archive.retain), RULE);
    assert.deepEqual(archive.schedule, {
      kind: 'cron',
      expression: '0 2 * * *',
      timezone: 'UTC',
    });
    assert.deepEqual(archive.archive, {
      url: 's3://bucket/prefix/vm1',
      base: 's3://bucket/prefix',
      endpoint: 'https://s3.example.org:9000',
      region: 'r1',
      checksums: 'required',
      storageClass: 'STANDARD_IA',
      keyPath: '/etc/hast.archive.key',
      timezone: 'UTC',
      verifyBytes: 2 ** 31,
    });
  }
});

test('a resource may have an archive alone, and needs then no peer and no secret', () => {
  const text = `resource vm1 {
    archive usb { url "file:///mnt/usb disk" retain 3 }
    on a { local /srv/a.img }
  }`;
  const settings = settingsOf(text);
  assert.deepEqual(settings.listen, [], 'nobody will connect');
  const [usb, ...others] = present(settings.resources[0], 'vm1').targets;
  assert.equal(others.length, 0);
  assert.equal(usb?.archive?.url, 'file:///mnt/usb disk/vm1');
  assert.equal(usb?.archive?.keyPath, null);
  assert.equal(usb?.archive?.verifyBytes, 0, 'a store may charge for what is read');
});

test('what one node says of an archive inside its on block is its own', () => {
  const text = twoNodes(
    '',
    'archive offsite { url s3://bucket/x rate none }',
    'archive offsite { rate 1mbit }',
  );
  const rate = (node: string) =>
    settingsOf(text, node).resources[0]?.targets.find(({ name }) => name === 'offsite')
      ?.rateBitsPerSecond;
  assert.equal(rate('a'), 1_000_000);
  assert.equal(rate('b'), null);
});
