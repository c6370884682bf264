// Which node is this? The names a node answers to, and whether an `on NAME` block is for it.
// The order is HAST's: full host name, its first label, the machine's id, `hostid` and a number.
// On Linux /etc/machine-id stands for kern.hostuuid and gethostid(3) for kern.hostid.

export interface NodeFacts {
  readonly hostname: string;
  /** 32 hexadecimal digits (machine-id(5)), or null. */
  readonly machineId: string | null;
  /** 32 bits, unsigned, or null. */
  readonly hostId: number | null;
}

/** Names of this node, best first; `override` (--node, HAST_NODE) is then the only one. */
export function nodeNames(override: string | null, facts: NodeFacts): readonly string[] {
  if (override !== null && override !== '') return [override];
  const names = [
    facts.hostname,
    facts.hostname.split('.')[0] ?? '',
    facts.machineId?.trim() ?? '',
    facts.hostId === null ? '' : `hostid${facts.hostId >>> 0}`,
  ];
  return [...new Set(names.filter((name) => name !== ''))];
}

const MACHINE_ID = /^[0-9a-f]{32}$/i;

/** True when an `on WRITTEN` block is for a node with these names. */
export function matchesNode(written: string, names: readonly string[]): boolean {
  const sameMachine = (name: string): boolean =>
    MACHINE_ID.test(name) && name.toLowerCase() === written.toLowerCase();
  return names.some((name) => name === written || sameMachine(name));
}
