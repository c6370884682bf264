// Lines that attach a resource's disk to a guest: QEMU's -blockdev and libvirt's <disk>. Pure.
// The NBD URI is the daemon's (nbd+unix:///EXPORT?socket=PATH or nbd://HOST:PORT/EXPORT, as the
// NBD URI specification writes them); QEMU's key=value text doubles commas, XML escapes.

export interface AttachLines {
  readonly qemu: string;
  readonly libvirt: string;
}

type Server =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: string };

const NBD_PORT_DEFAULT = '10809';
/** QEMU refuses longer node names. */
const NODE_NAME_LENGTH_MAX = 31;

/** Null when the URI is none of the two forms. */
export function attachLines(name: string, uri: string): AttachLines | null {
  const export_ = parseNbdUri(uri);
  if (export_ === null) return null;
  return {
    qemu: qemuLine(name, export_.server, export_.name),
    libvirt: libvirtLine(export_.server, export_.name),
  };
}

function parseNbdUri(uri: string): { server: Server; name: string } | null {
  let url: URL;
  let name: string;
  try {
    url = new URL(uri);
    name = decodeURIComponent(url.pathname.slice(1));
  } catch {
    return null;
  }
  const path = url.searchParams.get('socket');
  if (url.protocol === 'nbd+unix:' && path) return { server: { kind: 'unix', path }, name };
  if (url.protocol !== 'nbd:' || url.hostname === '') return null;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { server: { kind: 'tcp', host, port: url.port || NBD_PORT_DEFAULT }, name };
}

function qemuLine(name: string, server: Server, exportName: string): string {
  const comma = (text: string): string => text.replaceAll(',', ',,');
  const node = `hast-${name.replaceAll(/[^A-Za-z0-9._-]/g, '_')}`.slice(0, NODE_NAME_LENGTH_MAX);
  const place =
    server.kind === 'unix'
      ? ['server.type=unix', `server.path=${comma(server.path)}`]
      : ['server.type=inet', `server.host=${comma(server.host)}`, `server.port=${server.port}`];
  const keys = ['driver=nbd', `node-name=${node}`, ...place, `export=${comma(exportName)}`];
  const blockdev = shellQuoted([...keys, 'discard=unmap'].join(','));
  return `-blockdev ${blockdev} -device virtio-blk-pci,drive=${node}`;
}

function libvirtLine(server: Server, exportName: string): string {
  const host =
    server.kind === 'unix'
      ? `<host transport='unix' socket='${xmlEscaped(server.path)}'/>`
      : `<host name='${xmlEscaped(server.host)}' port='${server.port}'/>`;
  return (
    `<disk type='network' device='disk'><driver name='qemu' type='raw' discard='unmap'/>` +
    `<source protocol='nbd' name='${xmlEscaped(exportName)}'>${host}</source>` +
    `<target dev='vda' bus='virtio'/></disk>`
  );
}

const shellQuoted = (text: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

const XML: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
};
const xmlEscaped = (text: string): string => text.replaceAll(/[&<>'"]/g, (c) => XML[c] ?? c);
