// SPDX-License-Identifier: Apache-2.0
// What weave is compared with, made by hand from the kernel's own parts:
//
//   A ──u0── B        raw       A to B on the wire
//                     routed    container, bridge, route, wire, route, bridge, container
//                     vxlan     container, bridge, VXLAN with static tables, bridge, container
//                     local     two containers of A on one plain bridge
import type { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import type { Path } from "./netbench.ts";

/** The wire's addresses. */
export const WIRE = { a: "10.60.0.1", b: "10.60.0.2" } as const;

/** Puts a fresh container on a bridge of the host. */
async function plug(host: Host, name: string, bridge: string, cidr: string, mtuBytes: number): Promise<Container> {
  const container = await host.container(name);
  const setup = [
    `link add v${name} mtu ${mtuBytes} type veth peer name eth0 mtu ${mtuBytes} netns /run/netns/${name}`,
    `link set v${name} master ${bridge} up`,
  ];
  await host.must(["ip", "-batch", "-"], { stdin: setup.join("\n") });
  await container.must(["ip", "-batch", "-"], { stdin: `address add ${cidr} dev eth0\nlink set eth0 up` });
  return container;
}

async function bridge(host: Host, name: string, mtuBytes: number): Promise<void> {
  const setup = `link add ${name} type bridge mcast_snooping 0 forward_delay 0\nlink set ${name} mtu ${mtuBytes} up`;
  await host.must(["ip", "-batch", "-"], { stdin: setup });
}

/** Two hosts and a cable. */
export async function wireHosts(lab: Lab): Promise<{ readonly a: Host; readonly b: Host }> {
  const [a, b] = (await lab.addHosts("A", "B")) as [Host, Host];
  await lab.wire(a, b, "u0");
  await a.must(["ip", "address", "add", `${WIRE.a}/24`, "dev", "u0"]);
  await b.must(["ip", "address", "add", `${WIRE.b}/24`, "dev", "u0"]);
  return { a, b };
}

export async function routedPath(a: Host, b: Host): Promise<Path> {
  const sides = [
    { host: a, name: "ra", net: "10.61.1", other: "10.61.2", via: WIRE.b },
    { host: b, name: "rb", net: "10.61.2", other: "10.61.1", via: WIRE.a },
  ];
  const containers: Container[] = [];
  for (const { host, name, net, other, via } of sides) {
    await bridge(host, "rt", 1_500);
    const container = await plug(host, name, "rt", `${net}.2/24`, 1_500);
    await host.must(["ip", "-batch", "-"], { stdin: `address add ${net}.1/24 dev rt\nroute add ${other}.0/24 via ${via}` });
    await host.must(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
    await container.must(["ip", "route", "add", "default", "via", `${net}.1`]);
    containers.push(container);
  }
  const [from, to] = containers as [Container, Container];
  return { from, to, address: "10.61.2.2" };
}

export async function plainVxlanPath(a: Host, b: Host, mtuBytes: number): Promise<Path> {
  const sides = [
    { host: a, name: "pa", address: "10.62.0.1", remote: WIRE.b, local: WIRE.a },
    { host: b, name: "pb", address: "10.62.0.2", remote: WIRE.a, local: WIRE.b },
  ];
  const containers: Container[] = [];
  for (const { host, name, address, remote, local } of sides) {
    await bridge(host, "px", mtuBytes);
    const setup = [
      `link add pvx mtu ${mtuBytes} type vxlan id 42 dstport 4789 local ${local} nolearning`,
      "link set pvx master px up",
      "link set pvx type bridge_slave learning off",
    ];
    await host.must(["ip", "-batch", "-"], { stdin: setup.join("\n") });
    await host.must(["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "pvx", "dst", remote]);
    containers.push(await plug(host, name, "px", `${address}/24`, mtuBytes));
  }
  const [from, to] = containers as [Container, Container];
  // Static tables: where each container's address lives, in the VXLAN device and in the bridge.
  for (const [host, container, remote] of [
    [a, to, WIRE.b],
    [b, from, WIRE.a],
  ] as const) {
    const mac = await container.mac("eth0");
    await host.must(["bridge", "fdb", "replace", mac, "dev", "pvx", "dst", remote, "self"]);
    await host.must(["bridge", "fdb", "replace", mac, "dev", "pvx", "master", "static"]);
  }
  return { from, to, address: "10.62.0.2" };
}

export async function localBridgePath(host: Host, mtuBytes: number): Promise<Path> {
  await bridge(host, "lb", mtuBytes);
  const from = await plug(host, "la", "lb", "10.63.0.1/24", mtuBytes);
  const to = await plug(host, "lc", "lb", "10.63.0.2/24", mtuBytes);
  return { from, to, address: "10.63.0.2" };
}
