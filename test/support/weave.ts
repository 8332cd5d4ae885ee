// SPDX-License-Identifier: Apache-2.0
// Weave as the lab tests drive it: commands through the compiled executable, looks at its state through the API socket.
import type { StatusModel } from "../../src/api/status.ts";
import type { Container, Host } from "./lab-host.ts";
import { waitFor } from "./wait.ts";

/** The status model of a running daemon. @throws when none answers */
export async function statusOf(host: Host): Promise<StatusModel> {
  const response = await fetch("http://weave/v1/status", { unix: host.file("/run/weave/api.sock") });
  if (!response.ok) throw new Error(`status of ${host.name}: ${response.status} ${await response.text()}`);
  return (await response.json()) as StatusModel;
}

/** The short text of `weave status`, which costs a busy daemon little. */
export async function overviewOf(host: Host): Promise<string> {
  return await (await fetch("http://weave/status", { unix: host.file("/run/weave/api.sock") })).text();
}

/** Sum of all metrics whose name, with its labels, matches. @throws {Error} when there is none */
export async function metric(host: Host, name: RegExp): Promise<number> {
  const response = await fetch("http://weave/metrics", { unix: host.file("/run/weave/api.sock") });
  const lines = (await response.text()).split("\n").filter((line) => !line.startsWith("#") && name.test(line));
  if (lines.length === 0) throw new Error(`${host.name} has no metric ${name}`);
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

/** Adds a target like `weave connect`, without the cost of starting a command. */
export async function connectByApi(host: Host, target: string): Promise<void> {
  const url = `http://weave/connect?${new URLSearchParams({ peer: target })}`;
  const response = await fetch(url, { method: "POST", unix: host.file("/run/weave/api.sock") });
  if (!response.ok) throw new Error(`connect on ${host.name}: ${response.status} ${await response.text()}`);
}

/** Waits until each host has an established connection with every other one. Returns how long that took in ms. */
export async function waitForFullMesh(hosts: readonly Host[], deadlineMs: number): Promise<number> {
  const others = hosts.length - 1;
  const whole = new RegExp(`Connections: ${others} \\(${others} established\\)`);
  let waiting = [...hosts];
  const { tookMs } = await waitFor(
    `${hosts.length} hosts to be a full mesh`,
    async () => {
      const texts = await Promise.all(waiting.map(overviewOf));
      waiting = waiting.filter((_, index) => !whole.test(texts[index] ?? ""));
      return waiting.length === 0;
    },
    { deadlineMs, everyMs: 100, show: () => `${waiting.map(({ name }) => name).join(", ")} are not` },
  );
  return tookMs;
}

/** Starts the daemon and returns when it is ready. */
export async function launch(host: Host, ...args: readonly string[]): Promise<void> {
  await host.mustWeave("launch", ...args);
}

/** Peers a host can send to now, itself included; sorted nicknames. */
export function reachablePeers(status: StatusModel): string[] {
  const nicknames = new Map(status.router.peers.map(({ name, nickname }) => [name, nickname]));
  return status.router.unicastRoutes.map(({ destination }) => nicknames.get(destination) ?? destination).sort();
}

/** Nicknames of the neighbours a host has an established connection with, sorted. */
export function neighboursOf(status: StatusModel): string[] {
  return status.router.connections
    .filter(({ state }) => state === "established")
    .map(({ peer }) => peer?.nickname ?? "?")
    .sort();
}

/** Is everybody known to, reachable from and in the broadcast trees of everybody? `settled`: and is no connection on its way? */
async function complete(hosts: readonly Host[], state: "routed" | "settled"): Promise<boolean> {
  const expected = hosts.map(({ name }) => name).sort();
  for (const host of hosts) {
    const status = await statusOf(host);
    if (reachablePeers(status).join() !== expected.join()) return false;
    if (status.router.broadcastRoutes.length !== hosts.length) return false;
    if (state === "settled" && status.router.connections.some((connection) => connection.state === "pending")) return false;
  }
  return true;
}

/** Waits until these hosts, and nobody else, form one mesh in which nothing is on its way. Returns how long that took in ms. */
export async function waitForMesh(hosts: readonly Host[], deadlineMs = 15_000): Promise<number> {
  return await waitForState(hosts, "settled", deadlineMs);
}

/** Waits until each of these hosts has routes to all of them and to nobody else; connections with others may still be waited for. */
export async function waitForRoutes(hosts: readonly Host[], deadlineMs: number): Promise<number> {
  return await waitForState(hosts, "routed", deadlineMs);
}

async function waitForState(hosts: readonly Host[], state: "routed" | "settled", deadlineMs: number): Promise<number> {
  const { tookMs } = await waitFor(`${hosts.length} hosts to form one mesh`, () => complete(hosts, state), {
    deadlineMs,
    everyMs: 25,
    show: async () => (await Promise.all(hosts.map(describeHost))).join("; "),
  });
  return tookMs;
}

/** One line about what a host sees, for failures. */
export async function describeHost(host: Host): Promise<string> {
  const status = await statusOf(host).catch((thrown: unknown) => `${host.name}: ${thrown}`);
  if (typeof status === "string") return status;
  const connections = status.router.connections.map(
    ({ address, state, peer, reason }) => `${address} ${state} ${peer?.nickname ?? ""} ${reason}`,
  );
  return `${host.name} reaches ${reachablePeers(status).join(",")} [${connections.join(" | ")}]`;
}

/** Makes a container and attaches it. */
export async function attach(host: Host, name: string, ...cidrs: readonly string[]): Promise<Container> {
  const container = await host.container(name);
  await host.mustWeave("attach", ...cidrs, container.path);
  return container;
}

/** One container on each host: `c1` with 10.2.1.1/24 on the first, and so on. */
export async function attachEverywhere(hosts: readonly Host[]): Promise<Container[]> {
  return await Promise.all(hosts.map((host, index) => attach(host, `c${index + 1}`, `10.2.1.${index + 1}/24`)));
}

/** Every route change that is on its way has arrived: nothing is sent, lost or repeated because of what happened before. */
export async function waitForAnswers(containers: readonly Container[]): Promise<void> {
  for (const [from, source] of containers.entries()) {
    for (const [to] of containers.entries()) {
      if (from === to) continue;
      if (!(await source.reaches(`10.2.1.${to + 1}`))) throw new Error(`${source.name} does not reach 10.2.1.${to + 1}`);
    }
  }
}
