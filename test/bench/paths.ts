// SPDX-License-Identifier: Apache-2.0
// The data path bench: one table, all rows measured in turns within one run, medians over the rounds. Sender, hosts and receiver
// share this machine's processors, so figures are inverse costs: trust the ratios, not the numbers.
import { existsSync } from "node:fs";
import { Lab } from "../support/lab.ts";
import { EXECUTABLE } from "../support/lab-host.ts";
import { localBridgePath, plainVxlanPath, routedPath, WIRE, wireHosts } from "./baselines.ts";
import { dockerOverlayPath } from "./docker.ts";
import { median, table } from "./figures.ts";
import { Netbench, type Path, type Ping } from "./netbench.ts";
import { weaveDirectPath, weaveLocalPath, weaveRelayedPath } from "./weave-paths.ts";

export interface PathsOptions {
  readonly rounds: number;
  readonly durationMs: number;
  /** Only rows whose name contains one of these; all when empty. */
  readonly only: readonly string[];
}

interface Row {
  readonly name: string;
  readonly path: Path;
  readonly tcp1: number[];
  readonly tcp4: number[];
  readonly udp: number[];
  readonly pps: number[];
  readonly pings: Ping[];
}

const NAMES = {
  raw: "raw underlay, host to host",
  routed: "containers, routed",
  vxlan: "bridge + VXLAN, static tables",
  docker: "Docker overlay",
  direct: "weave direct",
  relayed: "weave relayed over one host",
  bridge: "two containers, plain bridge",
  local: "weave local",
} as const;

const SMALL_PAYLOAD_BYTES = 32;
const PINGS = 500;
/** Short runs of every row within a round, in turns, so that what else the machine does meets all rows alike. */
const SLICES = 3;

/** Figures of one row, medians over the rounds. */
interface Figures {
  readonly tcp1: number;
  readonly tcp4: number;
  readonly udp: number;
  readonly pps: number;
  readonly pingUs: number;
  readonly pingP99Us: number;
}

function figuresOf(row: Row): Figures {
  // A round's figure is the median of its slices, the row's that of its rounds.
  const settled = (values: readonly number[]) => {
    const rounds = Array.from({ length: values.length / SLICES }, (_, round) =>
      values.slice(round * SLICES, (round + 1) * SLICES),
    );
    return median(rounds.map(median));
  };
  return {
    tcp1: settled(row.tcp1),
    tcp4: settled(row.tcp4),
    udp: settled(row.udp),
    pps: settled(row.pps),
    pingUs: settled(row.pings.map(({ medianUs }) => medianUs)),
    pingP99Us: settled(row.pings.map(({ p99Us }) => p99Us)),
  };
}

const isPartOf = (name: string, part: string): boolean => name.toLowerCase().includes(part.toLowerCase());

/** Measures and prints; returns false when a weave row is missing. */
export async function benchPaths(options: PathsOptions): Promise<boolean> {
  const names = Object.values(NAMES);
  const unknown = options.only.find((part) => !names.some((name) => isPartOf(name, part)));
  if (unknown !== undefined) {
    console.error(`bench: no row is named like '${unknown}'; the rows are: ${names.join("; ")}`);
    return false;
  }
  await using lab = await Lab.open();
  using bench = await Netbench.compile();
  const rows: Row[] = [];
  const missing: string[] = [];
  const wanted = (name: string) => options.only.length === 0 || options.only.some((part) => isPartOf(name, part));
  const add = async (name: string, make: () => Promise<Path>) => {
    if (!wanted(name)) return;
    try {
      const path = await make();
      if (!(await path.from.reaches(path.address, 10_000))) throw new Error("the far end does not answer");
      rows.push({ name, path, tcp1: [], tcp4: [], udp: [], pps: [], pings: [] });
    } catch (thrown) {
      missing.push(`${name}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
  };

  const { a, b } = await wireHosts(lab);
  await add(NAMES.raw, async () => ({ from: a, to: b, address: WIRE.b }));
  await add(NAMES.routed, () => routedPath(a, b));
  let mtuBytes = 1_450;
  if (existsSync(EXECUTABLE)) {
    await add(NAMES.direct, async () => {
      const direct = await weaveDirectPath(a, b);
      mtuBytes = direct.mtuBytes;
      return direct.path;
    });
    await add(NAMES.relayed, () => weaveRelayedPath(lab));
    await add(NAMES.local, () => weaveLocalPath(lab));
  } else {
    missing.push(`weave rows: there is no ${EXECUTABLE}; run 'npm run build'`);
  }
  await add(NAMES.vxlan, () => plainVxlanPath(a, b, mtuBytes));
  await add(NAMES.bridge, () => localBridgePath(a, mtuBytes));
  await using undo = new AsyncDisposableStack();
  await add(NAMES.docker, async () => undo.use(await dockerOverlayPath(lab)).path);
  const order = Object.values(NAMES) as readonly string[];
  rows.sort((x, y) => order.indexOf(x.name) - order.indexOf(y.name));

  // Datagrams that fit the narrowest path whole.
  const payloadBytes = mtuBytes - 100;
  const eachRow = async (measure: (row: Row) => Promise<void>) => {
    for (const row of rows) await measure(row);
  };
  for (let round = 1; round <= options.rounds; round++) {
    for (let slice = 1; slice <= SLICES; slice++) {
      process.stderr.write(`\rround ${round} of ${options.rounds}, slice ${slice} of ${SLICES} `);
      await eachRow(async (row) => void row.pings.push(await bench.ping(row.path, PINGS)));
      await eachRow(async (row) => void row.tcp1.push(await bench.tcp(row.path, 1, options.durationMs)));
      await eachRow(async (row) => void row.tcp4.push(await bench.tcp(row.path, 4, options.durationMs)));
      await eachRow(async (row) => void row.udp.push((await bench.udp(row.path, payloadBytes, options.durationMs)).gbits));
      await eachRow(async (row) => void row.pps.push((await bench.udp(row.path, SMALL_PAYLOAD_BYTES, options.durationMs)).pps));
    }
  }
  process.stderr.write("\n");

  print(rows, mtuBytes, payloadBytes, options.rounds);
  for (const line of missing) console.log(`not measured: ${line}`);
  return !missing.some((line) => line.startsWith("weave"));
}

function print(rows: readonly Row[], mtuBytes: number, payloadBytes: number, rounds: number): void {
  const figures = new Map(rows.map((row) => [row.name, figuresOf(row)]));
  const base = figures.get(NAMES.vxlan);
  const ratio = (value: number, reference: number | undefined) => (reference ? (value / reference).toFixed(2) : "-");
  console.log(
    `\nDatapath, median of ${rounds} rounds of ${SLICES} slices; overlay MTU ${mtuBytes}; UDP ${payloadBytes} bytes, small packets ${SMALL_PAYLOAD_BYTES} bytes\n`,
  );
  console.log(
    table(
      [
        "path",
        "TCP 1 Gbit/s",
        "TCP 4 Gbit/s",
        "UDP Gbit/s",
        "kpps",
        "ping us",
        "p99 us",
        "TCP 1 : VXLAN",
        "TCP 4 : VXLAN",
        "pps : VXLAN",
      ],
      rows.map(({ name }) => {
        const row = figures.get(name) as Figures;
        return [
          name,
          row.tcp1.toFixed(1),
          row.tcp4.toFixed(1),
          row.udp.toFixed(2),
          (row.pps / 1_000).toFixed(1),
          row.pingUs.toFixed(1),
          row.pingP99Us.toFixed(1),
          ratio(row.tcp1, base?.tcp1),
          ratio(row.tcp4, base?.tcp4),
          ratio(row.pps, base?.pps),
        ];
      }),
    ),
  );
  console.log("");
  const goal = (what: string, value: number | undefined, reference: number | undefined, least: number) => {
    if (!value || !reference) return;
    const got = value / reference;
    console.log(`${got >= least ? "reached" : "MISSED "}  ${what}: ${got.toFixed(2)} (goal ${least.toFixed(2)})`);
  };
  const [direct, relayed, local] = [figures.get(NAMES.direct), figures.get(NAMES.relayed), figures.get(NAMES.local)];
  const [docker, plainLocal] = [figures.get(NAMES.docker), figures.get(NAMES.bridge)];
  goal("direct, packets : plain VXLAN", direct?.pps, base?.pps, 1);
  goal("direct, TCP 1 : plain VXLAN", direct?.tcp1, base?.tcp1, 1);
  goal("direct, TCP 4 : plain VXLAN", direct?.tcp4, base?.tcp4, 1);
  goal("direct, packets : Docker overlay", direct?.pps, docker?.pps, 1.35);
  goal("relayed, packets : direct", relayed?.pps, direct?.pps, 0.9);
  goal("relayed, TCP 1 : direct", relayed?.tcp1, direct?.tcp1, 0.9);
  goal("local, TCP 4 : plain bridge", local?.tcp4, plainLocal?.tcp4, 1.5);
}
