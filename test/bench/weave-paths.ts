// SPDX-License-Identifier: Apache-2.0
// Paths through weave itself, made with the command line a user has:
//
//   A ──u0── B              direct    a container on each
//   R1 ──u1── M ──u2── R2   relayed   containers on R1 and R2, which have no other way than M
//   L                       local     two containers on one host
import type { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { WIRE } from "./baselines.ts";
import type { Path } from "./netbench.ts";

async function attached(host: Host, name: string, cidr: string): Promise<Container> {
  const container = await host.container(name);
  await host.mustWeave("attach", cidr, container.path);
  return container;
}

export async function weaveDirectPath(a: Host, b: Host): Promise<{ readonly path: Path; readonly mtuBytes: number }> {
  await a.mustWeave("launch");
  await b.mustWeave("launch", WIRE.a);
  const from = await attached(a, "wa", "10.64.0.1/24");
  const to = await attached(b, "wb", "10.64.0.2/24");
  const { found } = await waitFor("the MTU of ethwe", async () => {
    const [link] = JSON.parse(await from.must(["ip", "-j", "link", "show", "dev", "ethwe"])) as { mtu: number }[];
    return link?.mtu;
  });
  return { path: { from, to, address: "10.64.0.2" }, mtuBytes: found };
}

export async function weaveRelayedPath(lab: Lab): Promise<Path> {
  const [r1, m, r2] = (await lab.addHosts("R1", "M", "R2")) as [Host, Host, Host];
  await lab.wire(r1, m, "u1");
  await lab.wire(m, r2, "u2");
  await r1.must(["ip", "address", "add", "10.66.1.1/24", "dev", "u1"]);
  await m.must(["ip", "-batch", "-"], { stdin: "address add 10.66.1.2/24 dev u1\naddress add 10.66.2.2/24 dev u2" });
  await r2.must(["ip", "address", "add", "10.66.2.1/24", "dev", "u2"]);
  await m.mustWeave("launch");
  await r1.mustWeave("launch", "10.66.1.2");
  await r2.mustWeave("launch", "10.66.2.2");
  const from = await attached(r1, "wr1", "10.67.0.1/24");
  const to = await attached(r2, "wr2", "10.67.0.2/24");
  return { from, to, address: "10.67.0.2" };
}

export async function weaveLocalPath(lab: Lab): Promise<Path> {
  const [host] = (await lab.addHosts("L")) as [Host];
  await host.mustWeave("launch");
  const from = await attached(host, "wl1", "10.68.0.1/24");
  const to = await attached(host, "wl2", "10.68.0.2/24");
  return { from, to, address: "10.68.0.2" };
}
