// SPDX-License-Identifier: Apache-2.0
// `npm run demo [-- --keep]`: three hosts A, B, C on this machine, of which A and C have no way to each other but through B, with
// containers on one Ethernet over all of them, and a second subnet nobody else reaches. Each host is made of namespaces and runs the
// executable under test with the commands a user would type. Everything goes away at the end, also on Ctrl-C; `--keep` leaves it
// running until Enter or Ctrl-C and says how to enter it.
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { FrameSocket } from "../support/frames.ts";
import { Lab } from "../support/lab.ts";
import { type Container, EXECUTABLE, type Host, type Place } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { statusOf, waitForMesh } from "../support/weave.ts";
import { drawRoutes, drawTopology } from "./topology.ts";

const COLOUR = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
const paint = (code: number, text: string) => (COLOUR ? `\x1b[${code}m${text}\x1b[0m` : text);
/** 16 bytes, as much as ping repeats. */
const SECRET = "nobody-reads-it!";
let failures = 0;

function heading(text: string): void {
  console.log(`\n${paint(1, text)}`);
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, "    ");
}

/** Shows a command as a user of that host would type it, runs it, shows what it says. */
async function shown(place: Place, words: readonly string[]): Promise<string> {
  const display = words
    .map((word) => (word === EXECUTABLE ? "weave" : /[^\w@%+=:,./-]/.test(word) ? `'${word}'` : word))
    .join(" ");
  console.log(`  ${paint(36, `${place.name}$`)} ${display}`);
  const { code, stdout, stderr } = await place.run(words);
  const said = (stdout + stderr).replace(/^\n+|\s+$/g, "");
  if (said !== "") console.log(indent(said));
  if (code !== 0) throw new Error(`'${display}' on ${place.name} ended with ${code}`);
  return stdout;
}

const weave = (host: Host, ...words: readonly string[]) => shown(host, [EXECUTABLE, ...words]);

/** One line per expectation: what should be, and whether it is. */
function tell(fine: boolean, text: string): void {
  if (!fine) failures += 1;
  console.log(`  ${fine ? paint(32, "✓") : paint(31, "✗")} ${text}`);
}

async function pings(from: Container, address: string, what: string): Promise<void> {
  const { code, stdout } = await from.run(["ping", "-n", "-c3", "-i0.2", "-W2", address]);
  const times = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1];
  const lost = /(\d+(?:\.\d+)?)% packet loss/.exec(stdout)?.[1] ?? "100";
  tell(
    code === 0 && lost === "0",
    `${from.name} → ${address}  ${what}: ${times === undefined ? "no answer" : `${times} ms`}, ${lost} % lost`,
  );
}

async function silent(from: Container, address: string, what: string): Promise<void> {
  const { code } = await from.run(["ping", "-n", "-q", "-c2", "-i0.2", "-W0.5", address]);
  tell(code !== 0, `${from.name} → ${address}  ${what}: ${code !== 0 ? "no answer, as it should be" : "ANSWERS"}`);
}

async function build(lab: Lab): Promise<{ hosts: [Host, Host, Host]; ab: string; bc: string }> {
  const hosts = (await lab.addHosts("A", "B", "C")) as [Host, Host, Host];
  const [a, b, c] = hosts;
  const left = await lab.connect([a, b]);
  const right = await lab.connect([b, c]);
  heading("Three hosts");
  console.log(
    `  A ${left.address(a)} ─── ${left.address(b)} B ${right.address(b)} ─── ${right.address(c)} C     (A and C: no cable, no route)`,
  );
  tell(!(await a.reaches(right.address(c), 300)), "A cannot reach C on the underlay");
  return { hosts, ab: left.address(a), bc: right.address(b) };
}

/** A container and the address that weave has chosen for it. */
interface Tenant {
  readonly container: Container;
  readonly address: string;
}
interface Tenants {
  readonly web: readonly Tenant[];
  readonly shop: readonly Tenant[];
}

/** Two containers on each host: one in each subnet. */
async function attachAll(hosts: readonly Host[]): Promise<Tenants> {
  heading(
    "Two containers on each host, with addresses that weave chooses; 10.2.1.0/24 and 10.2.2.0/24 are strangers to each other",
  );
  const web: Tenant[] = [];
  const shop: Tenant[] = [];
  for (const [index, host] of hosts.entries()) {
    for (const [name, words, list] of [
      [`web${index + 1}`, [], web],
      [`shop${index + 1}`, ["net:10.2.2.0/24"], shop],
    ] as const) {
      const container = await host.container(name);
      list.push({ container, address: (await weave(host, "attach", ...words, name)).trim() });
    }
  }
  const given = [...web, ...shop].map(({ address }) => address);
  tell(new Set(given).size === given.length, `${given.length} addresses, none of them twice`);
  return { web, shop };
}

async function throughput(from: Container, to: Container, address: string, what: string): Promise<void> {
  if (Bun.which("iperf3") === null) return;
  const server = to.background(["iperf3", "-s", "-1", "--forceflush"]);
  await waitFor("iperf3 to listen", () => server.stdout.includes("listening"));
  const { code, stdout } = await from.run(["iperf3", "-c", address, "-t", "2", "-J"]);
  const parsed = code === 0 ? (JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } }) : undefined;
  const gigabits = (parsed?.end.sum_received.bits_per_second ?? 0) / 1e9;
  tell(gigabits > 0, `${from.name} → ${address}  iperf3, ${what}: ${gigabits.toFixed(1)} Gbit/s`);
}

async function tour(lab: Lab): Promise<{ readonly hosts: readonly Host[]; readonly tenants: Tenants }> {
  const { hosts, ab, bc } = await build(lab);
  const [a, b, c] = hosts;
  heading("weave on each, told of one other; a password, and one cable that is trusted with clear data");
  const security = ["--password", "correct-horse", "--trusted-subnets", `${ab}/24`.replace(/\d+\/24$/, "0/24")];
  const ranges = ["--ipalloc-range", "10.2.0.0/16", "--ipalloc-default-subnet", "10.2.1.0/24", "--ipalloc-init", "consensus=3"];
  const flags = [...security, ...ranges];
  await weave(a, "launch", ...flags);
  await weave(b, "launch", ...flags, ab);
  await weave(c, "launch", ...flags, bc);
  const tookMs = await waitForMesh(hosts);
  tell(true, `A, B and C are one mesh (${tookMs.toFixed(0)} ms after the last launch)`);
  console.log(
    "  Control traffic is encrypted with keys from the password, and so is data, but for what --trusted-subnets names: between A and B",
  );
  console.log("  the kernel sends it as clear VXLAN, between B and C it is sealed.");

  const tenants = await attachAll(hosts);
  const [{ container: web1 }, { container: web2, address: at2 }, { container: web3, address: at3 }] = tenants.web as [
    Tenant,
    Tenant,
    Tenant,
  ];
  const [{ container: shop1, address: shopAt1 }, , { address: shopAt3 }] = tenants.shop as [Tenant, Tenant, Tenant];
  const { netns, device } = lab.segment(1).tap(b);
  using tap = new FrameSocket(netns, device, "both");
  heading("They talk");
  await pings(web1, at2, "neighbouring host   ");
  await pings(web1, at3, "A to C, relayed by B");
  await pings(shop1, shopAt3, "the other subnet    ");
  await pings(web1, `${await web3.linkLocal()}%ethwe`, "IPv6 link-local");
  await silent(web1, shopAt1, "into the other subnet, same host");
  await silent(web1, shopAt3, "into the other subnet, far host ");
  await throughput(web1, web2, at2, "direct ");
  await throughput(web1, web3, at3, "relayed, encrypted from B on");
  await web1.run(["ping", "-q", "-c5", "-i0.05", "-p", Buffer.from(SECRET).toString("hex"), at3]);
  const frames = tap.drain();
  const clear = frames.filter((frame) => Buffer.from(frame).includes(SECRET));
  tell(
    frames.length > 10 && clear.length === 0,
    `${frames.length} frames looked at between B and C, ${clear.length} of them show what was said`,
  );

  heading("Names are known everywhere as soon as there is a container");
  const found = (await weave(c, "dns-lookup", "web1")).trim();
  tell(found === tenants.web[0]?.address, `C knows web1.weave.local as ${found}`);

  heading("What weave says");
  await weave(a, "status");
  await weave(b, "status", "connections");
  await weave(a, "status", "peers");
  await weave(a, "status", "ipam");
  await weave(a, "ps");
  await weave(a, "report", "-f", "{{.Router.NickName}} knows {{len .Router.Peers}} peers");

  heading("Topology, as A knows it");
  const status = await statusOf(a);
  const residents = new Map(
    hosts.map(({ name }, index) => {
      const here = [tenants.web[index], tenants.shop[index]].filter((tenant) => tenant !== undefined);
      return [name, here.map(({ container, address }) => `${container.name} ${address}`)];
    }),
  );
  console.log(indent(drawTopology(status, residents)));
  console.log(indent(drawRoutes(status)));

  heading("The daemon of B is killed with -9 while web1 talks to B: the kernel goes on by itself");
  const ping = web1.background(["ping", "-n", "-q", "-i", "0.002", "-c", "1500", at2]);
  await b.killDaemon();
  tell(b.daemonPid() === undefined, "no daemon runs on B");
  await weave(b, "launch", ...flags, ab);
  const finished = await ping.ended(15_000);
  const counts = /(\d+) packets transmitted, (\d+) received/.exec(finished.stdout);
  tell(counts !== null && counts[1] === counts[2], `web1 → web2  ${counts?.[1] ?? 0} packets sent, ${counts?.[2] ?? 0} answered`);
  tell(await web1.reaches(at3, 5_000), "web1 → web3  is back as soon as B's daemon is: it seals what goes to C");
  return { hosts, tenants };
}

/** How to get into what is running. */
function explain(hosts: readonly Host[], tenants: Tenants): void {
  heading("It keeps running. Enter it from another terminal, as root:");
  for (const host of hosts) console.log(`  host ${host.name}:        ${host.enter(["bash"]).join(" ")}`);
  for (const { container } of [...tenants.web, ...tenants.shop]) {
    console.log(`  container ${container.name.padEnd(6)} ${container.enter(["bash"]).join(" ")}`);
  }
  console.log(`  weave is ${EXECUTABLE}\n\nPress Enter, or Ctrl-C, to remove all of it.`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({ args: process.argv.slice(2), options: { keep: { type: "boolean", default: false } } });
  if (process.getuid?.() !== 0) {
    console.error("demo: namespaces need root; run it with sudo");
    return 1;
  }
  if (!existsSync(EXECUTABLE)) {
    console.error(`demo: there is no ${EXECUTABLE}; run 'npm run build' first`);
    return 1;
  }
  await using lab = await Lab.open();
  const { hosts, tenants } = await tour(lab);
  if (values.keep) {
    explain(hosts, tenants);
    await new Promise((resolve) => process.stdin.once("data", resolve).once("end", resolve));
  }
  heading("weave reset on each host");
  for (const host of hosts) await weave(host, "reset");
  for (const host of hosts) {
    const { stdout } = await host.run(["ip", "-br", "link"]);
    tell(!/weave|vxlan|vethwe/.test(stdout), `nothing of weave is left on ${host.name}`);
  }
  return failures === 0 ? 0 : 1;
}

try {
  const code = await main();
  if (code === 0) console.log(`\n${paint(32, "done")}; everything was removed`);
  else if (failures > 0) console.log(`\n${paint(31, `${failures} expectations failed`)}`);
  process.exit(code);
} catch (thrown) {
  console.error(`\ndemo: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  process.exit(1);
}
