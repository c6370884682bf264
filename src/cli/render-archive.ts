// Pages of `hastctl archive`. Pure.
import { humanBytes } from '../base/units.js';
import type { Probe, ProbeVerdict } from '../store/probe.js';
import { columns } from './text.js';

const VERDICTS: Readonly<Record<ProbeVerdict, string>> = {
  safe: 'it keeps all that an archive relies on',
  'one-writer':
    'it cannot tell two writers apart: an archive here is good only while one node writes it, ever',
  unsafe: 'it does not keep what is stored; no archive can live here',
};

export function renderProbe({ url, verdict, findings, counts }: Probe): string {
  const rows = findings.map(({ name, result, text, ms }) => [
    `  ${name}`,
    result,
    `${ms} ms`,
    text,
  ]);
  const { put, get, head, list, remove, upBytes, downBytes } = counts;
  const requests = `${put} PUT, ${get} GET, ${head} HEAD, ${list} LIST, ${remove} DELETE`;
  return [
    `${url}: ${verdict}: ${VERDICTS[verdict]}\n`,
    columns(rows),
    `  it took ${requests}; ${humanBytes(upBytes)} up, ${humanBytes(downBytes)} down\n`,
  ].join('');
}
