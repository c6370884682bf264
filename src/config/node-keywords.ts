// The settings of a node: hastd's sockets, files and directories, at the top level or in an `on`
// block there. Words and defaults of HAST's own are those of hast.conf(5) and parse.y of FreeBSD
// 14.
import type { Keyword } from './keyword.js';

const NODE_WIDE = ['global', 'node'] as const;

export const NODE_KEYWORDS: readonly Keyword[] = [
  {
    name: 'control',
    scopes: NODE_WIDE,
    value: { kind: 'address', use: 'control' },
    default: 'unix:///run/hast/hastctl.sock',
    hast: true,
    doc: 'unix socket on which hastd listens to hastctl',
  },
  {
    name: 'listen',
    scopes: NODE_WIDE,
    value: { kind: 'address', use: 'listen' },
    // Both, as in HAST: see LISTEN_DEFAULTS.
    default: 'tcp4://0.0.0.0:8457 tcp6://[::]:8457',
    hast: true,
    additive: true,
    doc: 'address on which the other node connects',
  },
  {
    name: 'pidfile',
    scopes: NODE_WIDE,
    value: { kind: 'path' },
    default: '/run/hast/hastd.pid',
    hast: true,
    doc: 'file with the process id of hastd',
  },
  {
    name: 'statedir',
    scopes: NODE_WIDE,
    value: { kind: 'path' },
    default: '/var/lib/hast',
    hast: false,
    doc: 'directory of maps, digest tables, staged rounds and history',
  },
  {
    name: 'export',
    scopes: NODE_WIDE,
    value: { kind: 'address', use: 'export' },
    default: 'unix:///run/hast/nbd.sock',
    hast: false,
    additive: true,
    doc: 'address of the NBD server that guests use',
  },
  {
    name: 'exportgroup',
    scopes: NODE_WIDE,
    value: { kind: 'group' },
    default: null,
    hast: false,
    doc: 'group that may open the unix export sockets',
  },
];
