// SPDX-License-Identifier: Apache-2.0
// Short times: from the TCP connect to an established connection on a local link, and from exec to the end of a command.
import { Background } from "../support/command.ts";
import { EXECUTABLE, type Host } from "../support/lab-host.ts";
import { wire } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";
import { connectByApi, launch, waitForMesh } from "../support/weave.ts";
import { median, quantile, table } from "./figures.ts";

const SYN_TO_CONTROL = "tcp dst port 6783 and tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn";

/** Wall-clock ms of the first connection attempt on the wire towards `host`, from the kernel's own stamps. */
function firstDialMs(captured: string): number | undefined {
  const stamp = /^(\d+\.\d+) /m.exec(captured)?.[1];
  return stamp === undefined ? undefined : Number(stamp) * 1_000;
}

/** Wall-clock ms at which the daemon noted the path to the peer with this nickname as established. */
async function establishedMs(host: Host, peer: string): Promise<number | undefined> {
  const line = new RegExp(`^INFO: (\\d+)/(\\d+)/(\\d+) (\\S+) path established .*\\(${peer}\\)`, "m");
  const found = line.exec(await host.must(["cat", "/run/weave/daemon.log"]));
  return found === null ? undefined : Date.parse(`${found[1]}-${found[2]}-${found[3]}T${found[4]?.slice(0, 12)}Z`);
}

/** One connection between two fresh daemons, or between two that have connected to a third before. */
async function connectOnce(state: "fresh" | "used"): Promise<number> {
  const { lab, hosts } = await wire("full", 3);
  await using _ = lab;
  const [a, b, third] = hosts as [Host, Host, Host];
  await Promise.all(hosts.map((host) => launch(host, "--no-discovery")));
  if (state === "used") {
    for (const host of [a, b]) await connectByApi(host, third.address);
    await waitForMesh(hosts);
  }
  const { netns, device } = lab.segment(0).tap(a);
  const words = ["tcpdump", "-i", device, "-tt", "-n", "-U", "-l", "--immediate-mode", `${SYN_TO_CONTROL} and src ${b.address}`];
  await using capture = new Background(["nsenter", `--net=${netns}`, ...words]);
  await waitFor("tcpdump to listen", () => capture.stderr.includes("listening on"));
  await connectByApi(b, a.address);
  // The daemons are not asked meanwhile: answering would take their time.
  await Bun.sleep(500);
  const { found } = await waitFor("both ends", async () => {
    const ends = [await establishedMs(a, "h2"), await establishedMs(b, "h1")];
    return ends[0] !== undefined && ends[1] !== undefined ? [ends[0], ends[1]] : undefined;
  });
  const dialled = firstDialMs(capture.stdout);
  if (dialled === undefined) throw new Error("no connection attempt was seen");
  return Math.max(...found) - dialled;
}

/** Time from the first SYN on the wire until both ends have noted the data path as established; stamps of whole milliseconds. */
export async function benchConnect(times: number): Promise<boolean> {
  const rows: string[][] = [];
  let reached = true;
  for (const state of ["fresh", "used"] as const) {
    const tookMs: number[] = [];
    for (let time = 0; time < times; time++) tookMs.push(await connectOnce(state));
    const what = state === "fresh" ? "first connection of both daemons" : "daemons that have connected before";
    rows.push([what, ...[Math.min(...tookMs), median(tookMs), Math.max(...tookMs)].map((value) => value.toFixed(1)), "< 10"]);
    reached &&= median(tookMs) < 10;
  }
  console.log(`\nFrom the first SYN to an established connection and data path at both ends, ${times} times each\n`);
  console.log(table(["", "least ms", "median ms", "most ms", "goal"], rows));
  return reached;
}

/** Wall time of whole commands, without a daemon. */
export function benchStart(times: number): boolean {
  const commands: readonly (readonly [name: string, words: readonly string[]])[] = [
    ["/bin/true (what starting any process costs)", ["/bin/true"]],
    ["weave version", [EXECUTABLE, "version"]],
    ["weave help", [EXECUTABLE, "help"]],
    ["weave status (no daemon)", [EXECUTABLE, "status"]],
  ];
  const figures = commands.map(([name, words]) => {
    const tookMs: number[] = [];
    for (let time = 0; time < times; time++) {
      const began = performance.now();
      Bun.spawnSync([...words], { stdout: "ignore", stderr: "ignore" });
      tookMs.push(performance.now() - began);
    }
    return { name, tookMs };
  });
  const rows = figures.map(({ name, tookMs }) => [
    name,
    ...[Math.min(...tookMs), median(tookMs), quantile(tookMs, 0.9)].map((value) => value.toFixed(1)),
    name === "weave version" ? "< 10" : "",
  ]);
  console.log(`\nWhole commands, ${times} times each\n`);
  console.log(table(["", "least ms", "median ms", "p90 ms", "goal"], rows));
  return median(figures[1]?.tookMs ?? []) < 10;
}
