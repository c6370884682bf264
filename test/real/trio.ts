// Three real nodes for tests: a serves vm1 and replicates it to b and c, each over a proxy that the
// test can slow down or cut. Otherwise as nodes.ts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { freePort, RealNode } from './nodes.js';
import { TamperProxy } from './tamper-proxy.js';

export interface TrioOptions {
  readonly sizeBytes: number;
  /** Further statements of resource vm1; default: `interval 1h`. */
  readonly config?: string;
  /** Further statements of target b and of target c. */
  readonly ofB?: string;
  readonly ofC?: string;
  readonly hastdArgs?: readonly string[];
  /** False: `insecure on`, plain TCP. */
  readonly tls?: boolean;
  /** False: c is not named, and startTrio leaves it alone. */
  readonly withC?: boolean;
}

export interface Trio {
  readonly folder: string;
  readonly config: string;
  readonly a: RealNode;
  readonly b: RealNode;
  readonly c: RealNode;
  /** Between a and b, and between a and c. */
  readonly toB: TamperProxy;
  readonly toC: TamperProxy;
  /** Writes the file anew, with c or without; to reload it is the test's business. */
  rewrite(options: Pick<TrioOptions, 'config' | 'ofB' | 'ofC' | 'withC'>): void;
}

/** Configuration, secret, proxies and three nodes; nothing is started, no resource created. */
export async function makeTrio(t: TestContext, options: TrioOptions): Promise<Trio> {
  const folder = mkdtempSync(join(tmpdir(), 'hast-'));
  const nodes: RealNode[] = [];
  const proxies: TamperProxy[] = [];
  t.after(async () => {
    for (const node of nodes) await node.kill('SIGKILL');
    for (const proxy of proxies) proxy.close();
    if (process.env['HAST_KEEP'] === '1') t.diagnostic(`kept: ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  });
  const [portA, portB, portC] = [await freePort(), await freePort(), await freePort()];
  const [toB, toC] = [await TamperProxy.start(portB), await TamperProxy.start(portC)];
  proxies.push(toB, toC);
  const config = join(folder, 'hast.conf');
  const on = (name: string, port: number): string =>
    `on ${name} { statedir ${folder}/${name}  control unix://${folder}/${name}.ctl  ` +
    `export unix://${folder}/${name}.nbd  listen tcp://127.0.0.1:${port}  ` +
    `pidfile ${folder}/${name}.pid }\n`;
  const security = options.tls === false ? 'insecure on' : `secret ${folder}/hast.key`;
  const rewrite: Trio['rewrite'] = (given) => {
    const { config: statements = 'interval 1h', ofB = '', ofC = '', withC = true } = given;
    const lines = [
      on('a', portA),
      on('b', portB),
      on('c', portC),
      `resource vm1 {\n  replication periodic\n  ${statements}\n  ${security}\n`,
      `  target b { remote tcp://127.0.0.1:${toB.port}\n ${ofB} }\n`,
      withC ? `  target c { remote tcp://127.0.0.1:${toC.port}\n ${ofC} }\n` : '',
      `  on a { local ${folder}/a.img }\n`,
      `  on b { local ${folder}/b.img  remote tcp://127.0.0.1:${portA} }\n`,
      withC ? `  on c { local ${folder}/c.img  remote tcp://127.0.0.1:${portA} }\n` : '',
      '}\n',
    ];
    writeFileSync(config, lines.join(''));
  };
  rewrite(options);
  const node = (name: string): RealNode => {
    const made = new RealNode(name, folder, config, options.hastdArgs ?? []);
    nodes.push(made);
    return made;
  };
  const [a, b, c] = [node('a'), node('b'), node('c')];
  await a.ask('keygen', `${folder}/hast.key`);
  return { folder, config, a, b, c, toB, toC, rewrite };
}

/** All three running: a is primary of vm1, a new disk of `sizeBytes`; b and c secondary and empty.
 * */
export async function startTrio(t: TestContext, options: TrioOptions): Promise<Trio> {
  const trio = await makeTrio(t, options);
  const { a, b, c } = trio;
  const replicas = options.withC === false ? [b] : [b, c];
  await Promise.all([a, ...replicas].map((node) => node.hastd()));
  await a.ask('create', '-m', String(options.sizeBytes), 'vm1');
  for (const replica of replicas) {
    await replica.ask('create', 'vm1');
    await replica.ask('role', 'secondary', 'vm1');
  }
  await a.ask('role', 'primary', 'vm1');
  return trio;
}
