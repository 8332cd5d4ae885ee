// SPDX-License-Identifier: Apache-2.0
// Short times: from the TCP connect to an established connection on a local link, and from exec to the end of a command.
import { FrameSocket } from "../support/frames.ts";
import { EXECUTABLE } from "../support/lab-host.ts";
import { wire } from "../support/shapes.ts";
import { connectByApi, launch, overviewOf } from "../support/weave.ts";
import { median, quantile, table } from "./figures.ts";

const CONTROL_PORT = 6_783;
const SYN = 0x02;

/** Is it the first segment of a TCP connection to the control port (IPv4 without options)? */
function opensControl(frame: Uint8Array): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.byteLength < 54 || view.getUint16(12) !== 0x0800 || frame[23] !== 6) return false;
  return view.getUint16(36) === CONTROL_PORT && frame[47] === SYN;
}

/** Time from the first SYN on the wire until both ends say "established". Resolution about a millisecond. */
export async function benchConnect(times: number): Promise<boolean> {
  const tookMs: number[] = [];
  for (let time = 0; time < times; time++) {
    const { lab, hosts } = await wire("full", 2);
    await using _ = lab;
    const [a, b] = hosts;
    if (a === undefined || b === undefined) throw new Error("there are two hosts");
    await Promise.all(hosts.map((host) => launch(host)));
    const { netns, device } = lab.segment(0).tap(b);
    using tap = new FrameSocket(netns, device, "both");
    const asked = connectByApi(b, a.address);
    let began = 0;
    const giveUp = performance.now() + 10_000;
    for (;;) {
      if (began === 0 && tap.drain().some(opensControl)) began = performance.now();
      const texts = await Promise.all(hosts.map(overviewOf));
      if (texts.every((text) => text.includes("(1 established)"))) break;
      if (performance.now() > giveUp) throw new Error("no connection within 10 s");
    }
    tookMs.push(performance.now() - began);
    await asked;
  }
  console.log(`\nFrom TCP connect to established at both ends, ${times} times; looked at about every millisecond\n`);
  const row = [Math.min(...tookMs), median(tookMs), Math.max(...tookMs)].map((value) => value.toFixed(1));
  console.log(table(["", "least ms", "median ms", "most ms", "goal"], [["control and data path", ...row, "< 10"]]));
  return median(tookMs) < 10;
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
