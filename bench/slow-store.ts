// A directory as an S3 server on loopback, for measurements: GET and HEAD of objects, with ranges,
// and LIST, path style, each answered after so many milliseconds. Counts requests and the bytes of
// bodies. Signatures are not looked at; nothing can be written. What it does not have: a limit of
// bandwidth, slow starts of TCP, throttling.
import { open, readdir, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export class SlowStore {
  readonly #server: Server;
  readonly #folder: string;
  latencyMs = 0;
  requests = 0;
  downBytes = 0;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#server = createServer((request, response) => {
      void this.#answer(request, response).catch(() => request.socket.destroy());
    });
  }

  /** `folder`: its directories are the buckets. */
  static async start(folder: string): Promise<SlowStore> {
    const store = new SlowStore(folder);
    await new Promise<void>((resolve) => store.#server.listen(0, '127.0.0.1', resolve));
    return store;
  }

  get endpoint(): string {
    const address = this.#server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return `http://127.0.0.1:${port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** Every key below the prefix, in one answer: points of an archive that is measured are few. */
  async #list(bucket: string, prefix: string): Promise<string> {
    const folder = join(this.#folder, normalize(decodeURIComponent(bucket)));
    const names = await readdir(folder, { recursive: true });
    const contents: string[] = [];
    for (const key of names.filter((name) => name.startsWith(prefix)).sort()) {
      const found = await stat(join(folder, key));
      if (!found.isFile()) continue;
      const time = found.mtime.toISOString();
      const facts = `<Size>${found.size}</Size><LastModified>${time}</LastModified>`;
      contents.push(`<Contents><Key>${key}</Key>${facts}</Contents>`);
    }
    const count = `<KeyCount>${contents.length}</KeyCount><IsTruncated>false</IsTruncated>`;
    return `<ListBucketResult>${count}${contents.join('')}</ListBucketResult>`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests += 1;
    await sleep(this.latencyMs);
    const { pathname, searchParams } = new URL(request.url ?? '/', this.endpoint);
    if (searchParams.has('list-type')) {
      const text = await this.#list(pathname, searchParams.get('prefix') ?? '');
      response.writeHead(200, { 'content-type': 'application/xml' }).end(text);
      return;
    }
    const path = join(this.#folder, normalize(decodeURIComponent(pathname)));
    const found = await stat(path).catch(() => null);
    if (found === null || !found.isFile()) {
      const text = '<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>';
      response.writeHead(404, { 'content-type': 'application/xml' }).end(text);
      return;
    }
    const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const first = Number(from);
    const last = Math.min(found.size - 1, to === '' ? found.size - 1 : Number(to));
    const bytes = Buffer.alloc(Math.max(0, last - first + 1));
    const file = await open(path);
    await file.read(bytes, 0, bytes.length, first);
    await file.close();
    this.downBytes += bytes.length;
    const isPart = request.headers.range !== undefined;
    response.writeHead(isPart ? 206 : 200, {
      'content-length': bytes.length,
      'last-modified': found.mtime.toUTCString(),
      ...(isPart ? { 'content-range': `bytes ${first}-${last}/${found.size}` } : {}),
    });
    response.end(request.method === 'HEAD' ? undefined : bytes);
  }
}
