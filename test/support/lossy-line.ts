// SPDX-License-Identifier: Apache-2.0
// A bad line: 5 % loss, 20 ms, 10 % of the packets overtaking others, each way. TCP through the encrypted sleeve beside TCP over the line itself,
// in turns; every byte is compared. Needs netem.
import { median, table } from "../bench/figures.ts";
import { must } from "./command.ts";
import { Lab } from "./lab.ts";
import type { Host, Place } from "./lab-host.ts";
import { StreamRun } from "./traffic.ts";
import { attachEverywhere, launch, waitForMesh } from "./weave.ts";

const FLAGS = ["--no-fastdp", "--password", "horse"];
const LINE = ["limit", "10000", "delay", "20ms", "loss", "5%", "reorder", "10%"];
/** Each packet by itself, as a real line has them: cut by the hosts' links, before they come to where they are lost. */
const WHOLE = ["gso", "tso", "gro", "tx-udp-segmentation"];
const BYTES = 1_500_000;
const OVERLAY_MTU = 1_350;
const DEADLINE_MS = 60_000;

/** Mbit/s of one transfer. @throws {Error} it broke, or something else arrived than was sent */
async function transfer(from: Place, to: Place, address: string): Promise<number> {
  const stream = await StreamRun.start(from, to, address);
  const began = performance.now();
  await stream.more(BYTES, DEADLINE_MS);
  const tookMs = performance.now() - began;
  const { broken, damagedAt } = stream.stop();
  if (broken || damagedAt !== undefined) throw new Error(`the stream to ${address} broke, or is damaged at byte ${damagedAt}`);
  return (BYTES * 8) / tookMs / 1_000;
}

interface Row {
  readonly name: string;
  readonly from: Place;
  readonly to: Place;
  readonly address: string;
  readonly rates: number[];
  readonly rttsMs: number[];
}

/** Packets over the line that are as small as the overlay's: what its headers cost by themselves. */
async function withSmallPackets(from: Host, to: Host): Promise<string> {
  for (const [host, last] of [
    [from, 1],
    [to, 2],
  ] as const) {
    await host.must(["ip", "address", "add", `10.202.1.${last}/24`, "dev", "e1"]);
    await host.must(["ip", "route", "change", "10.202.1.0/24", "dev", "e1", "advmss", `${OVERLAY_MTU - 40}`]);
  }
  return "10.202.1.2";
}
async function rttMs(from: Place, address: string): Promise<number> {
  const { stdout } = await from.run(["ping", "-n", "-c30", "-i0.05", "-W1", address]);
  return median([...stdout.matchAll(/time=([\d.]+)/g)].map(([, time]) => Number(time)));
}

/** So many transfers each way; a table of their rates. A loss costs TCP in proportion to packet size and round trip, so both are shown. */
export async function overLossyLine(rounds: number): Promise<string> {
  await using lab = await Lab.with({ hosts: ["h1", "h2"], segments: [["h1", "h2"]] });
  const [h1, h2] = [lab.host("h1"), lab.host("h2")];
  await launch(h1, ...FLAGS);
  await launch(h2, ...FLAGS, h1.address);
  await waitForMesh([h1, h2]);
  const [c1, c2] = await attachEverywhere([h1, h2]);
  if (c1 === undefined || c2 === undefined || !(await c1.reaches("10.2.1.2")))
    throw new Error("the containers do not reach each other");
  for (const host of [h1, h2]) {
    await host.must(["ethtool", "-K", "e1", ...WHOLE.flatMap((feature) => [feature, "off"])]);
    const { netns, device } = lab.segment(0).tap(host);
    await must(["nsenter", `--net=${netns}`, "tc", "qdisc", "add", "dev", device, "root", "netem", ...LINE]);
  }
  const small = await withSmallPackets(h1, h2);
  const rows: Row[] = [
    { name: "the line", from: h1, to: h2, address: h2.address, rates: [], rttsMs: [] },
    { name: `the line, packets of ${OVERLAY_MTU}`, from: h1, to: h2, address: small, rates: [], rttsMs: [] },
    { name: "the encrypted sleeve", from: c1, to: c2, address: "10.2.1.2", rates: [], rttsMs: [] },
  ];
  for (let round = 0; round < rounds; round++) {
    for (const { from, to, address, rates, rttsMs } of rows) {
      rttsMs.push(await rttMs(from, address));
      rates.push(await transfer(from, to, address));
    }
  }
  const line = median(rows[0]?.rates ?? []);
  const cells = rows.map(({ name, rates, rttsMs }) => [
    name,
    median(rates).toFixed(2),
    Math.min(...rates).toFixed(2),
    Math.max(...rates).toFixed(2),
    (median(rates) / line).toFixed(2),
    median(rttsMs).toFixed(1),
  ]);
  return table(["TCP, 5 % loss, 20 ms, 10 % reordered", "Mbit/s", "least", "most", ": line", "ping ms"], cells);
}
