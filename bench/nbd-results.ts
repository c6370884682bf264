// Results of the NBD benchmark: pairs of measurements, their ratios, bars, and how people read
// them. Pure but for printing. A ratio is hast's figure over the peer's of the same round, so what
// disturbs a round disturbs both; its median and quartiles over the rounds are what counts.
import { median, type Quartiles, quartiles } from './meters.js';
import { type Bar, HAST, type Place, type Workload } from './nbd-cases.js';
import type { Latency, Measured } from './nbd-fio.js';
import { printTable } from './round-report.js';

/** One server at one workload, every round. */
export interface Row {
  readonly server: string;
  readonly rounds: readonly Measured[];
}

export interface Against {
  readonly peer: string;
  readonly rate: Quartiles;
  readonly cpu: Quartiles;
  readonly p99: Quartiles;
}

export interface Verdict extends Bar {
  readonly value: number;
  readonly met: boolean;
}

export interface Cell {
  readonly place: Place;
  readonly workload: Workload;
  readonly load: number;
  readonly rows: readonly Row[];
  readonly against: readonly Against[];
  readonly verdicts: readonly Verdict[];
}

/** `rows` has hast first; all have as many rounds. */
export function cellOf(
  place: Place,
  workload: Workload,
  load: number,
  rows: readonly Row[],
  bars: readonly Bar[],
): Cell {
  const [ours, ...others] = rows;
  const against = others.map(({ server, rounds }): Against => {
    const ratios = (of: (one: Measured) => number): Quartiles =>
      quartiles(rounds.map((theirs, at) => ratio(ours?.rounds[at], theirs, of)));
    return {
      peer: server,
      rate: ratios((one) => one.rate),
      cpu: ratios((one) => one.serverMicrosPerOperation),
      p99: ratios((one) => one.p99Micros),
    };
  });
  const verdicts = bars.flatMap((bar): readonly Verdict[] => {
    const found = against.find(({ peer }) => peer === bar.peer);
    if (found === undefined) return [];
    const value = found[bar.what].middle;
    return [{ ...bar, value, met: bar.what === 'cpu' ? value <= bar.limit : value >= bar.limit }];
  });
  return { place, workload, load, rows, against, verdicts };
}

const ratio = (ours: Measured | undefined, theirs: Measured, of: (one: Measured) => number) =>
  ours === undefined ? Number.NaN : of(ours) / of(theirs);

const spread = ({ low, middle, high }: Quartiles): string =>
  `${middle.toFixed(2)} (${low.toFixed(2)}-${high.toFixed(2)})`;

const middleOf = (rounds: readonly Measured[], of: (one: Measured) => number): number =>
  median(rounds.map(of));

function latencies(rounds: readonly Measured[]): readonly string[] {
  const flush = rounds.every((one) => one.flush !== null);
  const shown = (of: (one: Latency) => number): string => {
    const own = middleOf(rounds, of).toFixed(0);
    return flush ? `${own}+${middleOf(rounds, (one) => of(one.flush ?? one)).toFixed(0)}` : own;
  };
  return [
    shown((one) => one.p50Micros),
    shown((one) => one.p99Micros),
    shown((one) => one.p999Micros),
  ];
}

export function printCell(cell: Cell): void {
  const { place, workload, load, rows, against, verdicts } = cell;
  console.log(`\n${workload.name}, ${place} (load ${load})`);
  const large = workload.blockBytes >= 2 ** 20;
  const shown = (rate: number): string =>
    large ? `${((rate * workload.blockBytes) / 1e6).toFixed(0)} MB/s` : rate.toFixed(0);
  const table = rows.map(({ server, rounds }) => {
    const ratios = against.find(({ peer }) => peer === server);
    return [
      server,
      shown(middleOf(rounds, (one) => one.rate)),
      ratios ? spread(ratios.rate) : '',
      ...latencies(rounds),
      middleOf(rounds, (one) => one.serverMicrosPerOperation).toFixed(1),
      ratios ? spread(ratios.cpu) : '',
    ];
  });
  const unit = large ? 'rate' : 'op/s';
  const head = ['', unit, 'hast / it', 'p50 us', 'p99 us', 'p99.9 us', 'CPU us/op', 'hast / it'];
  printTable([head, ...table]);
  for (const verdict of verdicts) console.log(`  ${verdictText(verdict)}`);
}

function verdictText({ peer, what, value, limit, met }: Verdict): string {
  const sign = what === 'cpu' ? '<=' : '>=';
  const name = what === 'cpu' ? 'CPU per operation' : 'rate';
  const word = met ? 'met   ' : 'MISSED';
  return `${word} ${name} against ${peer}: ${value.toFixed(3)} ${sign} ${limit}`;
}

/** All bars in one list; true when every one is met. */
export function printVerdicts(cells: readonly Cell[]): boolean {
  const all = cells.flatMap(({ place, workload, verdicts }) =>
    verdicts.map((verdict) => ({ place, workload, verdict })),
  );
  const met = all.filter(({ verdict }) => verdict.met).length;
  console.log(`\nbars (medians of ratios): ${met} of ${all.length} met`);
  for (const { place, workload, verdict } of all) {
    console.log(`${verdictText(verdict)}  [${workload.name}, ${place}]`);
  }
  return met === all.length;
}

/** The medians of hast and the ratios, one line for each workload. */
export function printOverview(cells: readonly Cell[]): void {
  const peers = [...new Set(cells.flatMap(({ against }) => against.map(({ peer }) => peer)))];
  console.log('\nhast, medians; then the median of hast / peer (rate; CPU per operation)');
  const rows = cells.map(({ place, workload, rows: servers, against }) => {
    const rounds = servers.find(({ server }) => server === HAST)?.rounds ?? [];
    const rate = middleOf(rounds, (one) => one.rate);
    const large = workload.blockBytes >= 2 ** 20;
    return [
      `${workload.name}, ${place}`,
      large ? `${((rate * workload.blockBytes) / 1e6).toFixed(0)} MB/s` : rate.toFixed(0),
      ...peers.map((peer) => {
        const found = against.find((one) => one.peer === peer);
        return found ? `${found.rate.middle.toFixed(2)}; ${found.cpu.middle.toFixed(2)}` : '';
      }),
    ];
  });
  printTable([['', 'rate', ...peers], ...rows]);
}
