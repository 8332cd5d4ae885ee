// SPDX-License-Identifier: Apache-2.0
// A bad line: 5 % loss, 20 ms, 10 % of the packets overtaking others, each way. TCP through the encrypted sleeve beside TCP over the line itself,
// in turns; every byte is compared.
import { median, table } from "../bench/figures.ts";
import { Lab } from "./lab.ts";
import type { Host, Place } from "./lab-host.ts";
import { StreamRun } from "./traffic.ts";
import { waitFor } from "./wait.ts";
import { attachEverywhere, launch, waitForMesh } from "./weave.ts";

const FLAGS = ["--no-fastdp", "--password", "horse"];
const LINE = { lossPercent: 5, delayMs: 20, reorderPercent: 10 } as const;
/** Each packet by itself and with its checksum, as a real line has them: made by the hosts' links, before they come to where they are lost. */
const WHOLE = ["gso", "tso", "gro", "tx-udp-segmentation", "tx"];
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

async function rttMs(from: Place, address: string): Promise<number> {
  const { stdout } = await from.run(["ping", "-n", "-c30", "-i0.05", "-W1", address]);
  return median([...stdout.matchAll(/time=([\d.]+)/g)].map(([, time]) => Number(time)));
}

const LINE_SOURCE = new URL("../bench/line.c", import.meta.url).pathname;

/** The line between links `u1` and `u2` of `host`: netem at both ends, or a program for kernels without that. */
async function makeLine(host: Host, by: "netem" | "program"): Promise<void> {
  const { lossPercent, delayMs, reorderPercent } = LINE;
  if (by === "program") {
    await host.must(["gcc", "-O2", "-o", "/run/line", LINE_SOURCE]);
    const running = host.background(["/run/line", "u1", "u2", `${lossPercent}`, `${delayMs}`, `${reorderPercent}`]);
    await waitFor("the line", () => running.stdout.includes("ready"), { show: () => running.stderr });
    return;
  }
  const words = `limit 10000 delay ${delayMs}ms loss ${lossPercent}% reorder ${reorderPercent}%`;
  await host.must(["ip", "link", "add", "line", "up", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"]);
  for (const link of ["u1", "u2"]) {
    await host.must(["ip", "link", "set", link, "master", "line"]);
    await host.must(["tc", "qdisc", "add", "dev", link, "root", "netem", ...words.split(" ")]);
  }
}

/** The same line by two pairs of addresses: packets as large as it takes, and as small as the overlay's, to see what its headers cost. */
async function address(host: Host, link: string, last: number): Promise<void> {
  await host.must(["ethtool", "-K", link, ...WHOLE.flatMap((feature) => [feature, "off"])]);
  await host.must(["ip", "address", "add", `10.202.1.${last}/24`, "dev", link]);
  await host.must(["ip", "address", "add", `10.202.2.${last}/24`, "dev", link]);
  await host.must(["ip", "route", "change", "10.202.2.0/24", "dev", link, "advmss", `${OVERLAY_MTU - 40}`]);
}

/** So many transfers each way; a table of their rates. A loss costs TCP in proportion to packet size and round trip, so both are shown. */
export async function overLossyLine(rounds: number, by: "netem" | "program"): Promise<string> {
  await using lab = await Lab.open();
  const [h1, middle, h2] = (await lab.addHosts("h1", "line", "h2")) as [Host, Host, Host];
  await lab.wire(h1, middle, "u1");
  await lab.wire(middle, h2, "u2");
  await address(h1, "u1", 1);
  await address(h2, "u2", 2);
  await makeLine(middle, by);
  // As in the lab's containers: two that answer losses differently cannot be compared.
  for (const host of [h1, h2]) await host.must(["sh", "-c", "echo reno >/proc/sys/net/ipv4/tcp_congestion_control"]);
  await launch(h1, ...FLAGS);
  await launch(h2, ...FLAGS, "10.202.1.1");
  await waitForMesh([h1, h2], 30_000);
  const [c1, c2] = await attachEverywhere([h1, h2]);
  if (c1 === undefined || c2 === undefined || !(await c1.reaches("10.2.1.2", 15_000))) {
    throw new Error("the containers do not reach each other");
  }
  const rows: Row[] = [
    { name: "the line", from: h1, to: h2, address: "10.202.1.2", rates: [], rttsMs: [] },
    { name: `the line, packets of ${OVERLAY_MTU}`, from: h1, to: h2, address: "10.202.2.2", rates: [], rttsMs: [] },
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
