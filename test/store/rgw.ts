// A real S3 server for tests: Ceph's RGW with one monitor and one OSD in a folder, on loopback,
// from Debian's packages ceph-mon, ceph-osd, ceph-common and radosgw. Six seconds to start; it is
// ended by process id. Where it differs from AWS (16.2, measured):
//   a lost race of conditional PUTs may be answered 500, which the SDK repeats, then 412
//   If-None-Match is ignored in buckets that keep versions: probe.ts finds that
//   x-amz-checksum-* is neither checked nor kept; Content-MD5 is checked
//   bodies with a checksum as trailer are refused: bodies of ours are bytes in memory
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  BucketVersioningStatus,
  CreateBucketCommand,
  PutBucketVersioningCommand,
  S3Client,
} from '@aws-sdk/client-s3';

export interface Rgw {
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  makeBucket(name: string, versioned?: boolean): Promise<void>;
  /** SIGKILL of radosgw, and a new one on the same store. */
  killAndStart(): Promise<void>;
}

const KEYS = { accessKeyId: 'test', secretAccessKey: 'testsecret' };
const START_SECONDS_MAX = 60;
const POLL_MS = 100;
const execute = promisify(execFile);

export const RGW_TOOLS = ['ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'ceph'];

/** Starts it in an empty folder. Whoever starts it ends it, also when this fails: `endRgw`. */
export async function startRgw(folder: string): Promise<Rgw> {
  const [monPort, port] = [await freePort(), await freePort()];
  for (const name of ['mon.a', 'osd.0', 'run', 'log', 'rgw']) mkdirSync(join(folder, name));
  const id = randomUUID();
  const config = join(folder, 'ceph.conf');
  writeFileSync(config, configuration(folder, id, monPort, port));
  const run = (...words: string[]) => execute(words[0] ?? '', words.slice(1), { cwd: folder });
  const ceph = (program: string, ...words: string[]) => run(program, '-c', config, ...words);
  await makeKeys(folder, run);
  await run(
    'monmaptool',
    '--create',
    '--fsid',
    id,
    '--addv',
    'a',
    `[v2:127.0.0.1:${monPort}]`,
    'monmap',
  );
  await ceph('ceph-mon', '-i', 'a', '--mkfs', '--monmap', 'monmap', '--keyring', 'keyring');
  await ceph('ceph-mon', '-i', 'a');
  const osd = randomUUID();
  await ceph('ceph', '--connect-timeout', '30', 'osd', 'new', osd, '0');
  await ceph('ceph', 'auth', 'import', '-i', 'keyring');
  await ceph('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd);
  await ceph('ceph-osd', '-i', '0');
  const user = ['user', 'create', '--uid=test', '--display-name=test'];
  const keys = [`--access-key=${KEYS.accessKeyId}`, `--secret-key=${KEYS.secretAccessKey}`];
  await ceph('radosgw-admin', ...user, ...keys);
  const endpoint = `http://127.0.0.1:${port}`;
  const gateway = async (): Promise<void> => {
    const child = spawn('radosgw', ['-c', config, '-n', 'client.admin'], { stdio: 'ignore' });
    child.unref();
    await answers(endpoint);
  };
  await gateway();
  return {
    endpoint,
    credentials: KEYS,
    makeBucket: (name, versioned = false) => makeBucket(endpoint, name, versioned),
    killAndStart: async () => {
      await endOne(folder, 'client.admin', 'SIGKILL');
      await gateway();
    },
  };
}

async function makeKeys(folder: string, run: (...words: string[]) => Promise<unknown>) {
  const tool = (...words: string[]) => run('ceph-authtool', ...words);
  const keyring = join(folder, 'keyring');
  await tool('--create-keyring', keyring, '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *');
  const all = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *', '--cap', 'mgr', 'allow *'];
  await tool(keyring, '--gen-key', '-n', 'client.admin', ...all);
  const osd = ['--cap', 'mon', 'allow profile osd', '--cap', 'osd', 'allow *'];
  await tool(keyring, '--gen-key', '-n', 'osd.0', ...osd);
}

async function makeBucket(endpoint: string, name: string, versioned: boolean): Promise<void> {
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: KEYS,
  });
  await client.send(new CreateBucketCommand({ Bucket: name }));
  if (versioned) {
    const VersioningConfiguration = { Status: BucketVersioningStatus.Enabled };
    await client.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration }));
  }
  client.destroy();
}

async function answers(endpoint: string): Promise<void> {
  const untilMs = performance.now() + START_SECONDS_MAX * 1000;
  while (
    !(await fetch(endpoint).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    assert.ok(performance.now() < untilMs, 'radosgw answers');
    await sleep(POLL_MS);
  }
}

/** Kills what runs in the folder, and waits for its end. */
export async function endRgw(folder: string): Promise<void> {
  for (const name of ['client.admin', 'osd.0', 'mon.a']) await endOne(folder, name, 'SIGKILL');
}

/** The same for who is ending itself and cannot wait. */
export function killRgw(folder: string): void {
  for (const name of ['client.admin', 'osd.0', 'mon.a']) {
    const pid = pidOf(folder, name);
    if (pid !== null) tryKill(pid, 'SIGKILL');
  }
}

function pidOf(folder: string, name: string): number | null {
  const file = join(folder, 'run', `${name}.pid`);
  const pid = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
  return pid > 1 ? pid : null;
}

async function endOne(folder: string, name: string, signal: NodeJS.Signals): Promise<void> {
  const pid = pidOf(folder, name);
  if (pid === null || !tryKill(pid, signal)) return;
  while (tryKill(pid, 0) && !isZombie(pid)) await sleep(POLL_MS);
}

function tryKill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

const isZombie = (pid: number): boolean =>
  spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.startsWith('Z');

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        resolve(address !== null && typeof address === 'object' ? address.port : 0),
      );
    });
  });
}

const configuration = (folder: string, id: string, monPort: number, port: number): string => `
[global]
fsid = ${id}
mon_host = v2:127.0.0.1:${monPort}
mon_initial_members = a
public_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = ${folder}/keyring
auth_allow_insecure_global_id_reclaim = false
run_dir = ${folder}/run
admin_socket = ${folder}/run/$name.asok
pid_file = ${folder}/run/$name.pid
log_file = ${folder}/log/$name.log
crash_dir = ${folder}/log
debug_default = 0
mon_data = ${folder}/mon.a
osd_data = ${folder}/osd.0
osd_objectstore = bluestore
bluestore_block_size = 21474836480
bluestore_fsck_on_mount = false
osd_memory_target = 939524096
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_class_update_on_start = false
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 1
ms_bind_ipv6 = false
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
osd_op_num_shards = 2
[client.admin]
rgw_frontends = beast endpoint=127.0.0.1:${port}
rgw_data = ${folder}/rgw
rgw_rados_pool_pg_num_min = 1
rgw_run_sync_thread = false
rgw_thread_pool_size = 32
rgw_data_log_num_shards = 1
rgw_md_log_max_shards = 1
rgw_gc_max_objs = 2
rgw_lc_max_objs = 2
rgw_num_control_oids = 1
rgw_override_bucket_index_max_shards = 1
rgw_enable_usage_log = false
`;
