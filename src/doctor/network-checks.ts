// SPDX-License-Identifier: Apache-2.0
// The host's network around ours: who else has its hands on our links, what its settings and its links do to our packets.
import { judge } from "../firewall/verdict.ts";
import { linkManagers, mergesSegments } from "../host/inspection.ts";
import type { Link } from "../host/links.ts";
import { readPacketFilter } from "../host/packet-filter.ts";
import { readSysctl } from "../host/sysctl.ts";
import { type HostAddress, hostAddresses } from "../host/underlay.ts";
import type { Check, Patient } from "./examine.ts";
import { bad, type Finding, ok, unknown } from "./finding.ts";
import { letForward } from "./firewall-fixes.ts";

/** Those that weave has made; what people put on the bridge themselves is theirs. */
function ownLinks({ links, config }: Patient): Link[] {
  return links.list().filter(({ name }) => name === config.weaveBridge || /^(vethwe|vxlan-|weave-wg$)/.test(name));
}

/** Where other hosts come to; bridges of container engines are no such places. */
export function underlayAddresses({ links, config }: Patient): HostAddress[] {
  return hostAddresses(links, config.weaveBridge).filter(
    ({ linkName }) => !/^(docker|br-|veth|virbr|lxc|podman|cni)/.test(linkName),
  );
}

function underlayNames(patient: Patient): string[] {
  return [...new Set(underlayAddresses(patient).map(({ linkName }) => linkName))];
}

export const managers: Check = {
  id: "managers",
  look(patient) {
    const found = linkManagers(ownLinks(patient));
    if (found.length === 0) return [ok("managers", "neither systemd-networkd nor NetworkManager runs here")];
    return found.map(({ manager, links }) => {
      if (links.length === 0) return ok("managers", `${manager} leaves weave's links alone`);
      const fix =
        manager === "NetworkManager"
          ? "install /usr/lib/NetworkManager/conf.d/10-weave.conf of the package, then nmcli general reload"
          : "give them to nobody, before other files match: /etc/systemd/network/00-weave.network as 10-weave.network of the package; networkctl reload";
      return bad("managers", "warning", `${manager} configures ${links.join(", ")}, which belong to weave`, fix);
    });
  },
};

/** How the daemon says of a way that it takes small packets only. */
const TOO_LARGE = /large packets/;

export const mtu: Check = {
  id: "mtu",
  look(patient) {
    const { daemon, links, config } = patient;
    const bridge = links.get(config.weaveBridge);
    if (bridge === undefined) return [unknown("mtu", `there is no bridge '${config.weaveBridge}' yet`)];
    if (daemon.state !== "running") return [unknown("mtu", `it is ${bridge.mtuBytes} here; paths are known to the daemon only`)];
    const narrow = daemon.status.router.connections.flatMap(({ peer, path }) =>
      (path?.alternatives ?? []).filter(({ reason }) => TOO_LARGE.test(reason)).map((way) => ({ peer, way })),
    );
    if (narrow.length === 0) return [ok("mtu", `${bridge.mtuBytes}, and no path is known to be narrower`)];
    return narrow.map(({ peer, way }) => {
      const name = `${way.transport}${way.encrypted ? " encrypted" : ""}`;
      const text = `packets of ${bridge.mtuBytes} bytes do not get through to ${peer?.nickname} by ${name}, so another way is used`;
      const fix = "let the path carry packets as large as the links say, or launch all hosts with a smaller --mtu";
      return bad("mtu", "warning", text, fix);
    });
  },
};

export const reversePath: Check = {
  id: "rp-filter",
  look(patient) {
    const names = underlayNames(patient);
    const all = Number(readSysctl("net/ipv4/conf/all/rp_filter") ?? 0);
    const strict = names.filter((name) => Math.max(all, Number(readSysctl(`net/ipv4/conf/${name}/rp_filter`) ?? 0)) === 1);
    if (strict.length === 0) return [ok("rp-filter", "packets are not dropped for the way they came")];
    if (names.length < 2) return [ok("rp-filter", `strict on ${strict.join()}, which is this host's only way out`)];
    const text = `strict on ${strict.join(", ")}, and this host has ${names.length} ways out: what comes by another one than answers take is dropped`;
    return [bad("rp-filter", "warning", text, "sysctl -w net.ipv4.conf.all.rp_filter=2, and the same in /etc/sysctl.d")];
  },
};

export const forwarding: Check = {
  id: "forwarding",
  async look(patient) {
    const { exposed, config } = patient;
    if (exposed === undefined) return [unknown("forwarding", "whether this host is exposed is known to the daemon only")];
    if (exposed.length === 0) return [ok("forwarding", "not needed: this host is not exposed")];
    const families = new Set(exposed.map((cidr) => (cidr.includes(":") ? 6 : 4)));
    const settings = [...families].map((family) => {
      const setting = family === 6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward";
      if (readSysctl(setting.replaceAll(".", "/")) === "1") return ok("forwarding", `${setting} is on`);
      const text = `${setting} is off: this host reaches the network, but is no gateway between it and the outside`;
      return bad("forwarding", "warning", text, `where it should be one: sysctl -w ${setting}=1, and the same in /etc/sysctl.d`);
    });
    return [...settings, ...(await closedGateways(patient, families, config.weaveBridge))];
  },
};

/** Chains that drop what the host forwards from the network to the outside. */
async function closedGateways(patient: Patient, families: ReadonlySet<4 | 6>, bridge: string): Promise<Finding[]> {
  const filter = await readPacketFilter();
  if (filter === undefined) return [];
  const ways = [...families].flatMap((family) => underlayNames(patient).map((out) => ({ family, link: bridge, out })));
  const closed = ways.flatMap((way) => {
    const { passes, by } = judge(filter, { ...way, protocol: "tcp", port: 80 });
    return passes === false && by !== undefined ? [by] : [];
  });
  return [...new Set(closed)].map((by) => {
    const text = `the firewall chain '${by.chain}' drops what this host forwards, so it is no gateway between the network and the outside`;
    const fix = letForward(filter, by, bridge, [{ in: bridge }, { out: bridge }]);
    return bad("forwarding", "warning", text, `where it should be one: ${fix}`);
  });
}

function joins(name: string, isHardware: boolean): ReturnType<typeof mergesSegments> {
  const merges = mergesSegments(name);
  return merges && { receive: merges.receive || !isHardware, send: merges.send };
}

export const offloads: Check = {
  id: "offloads",
  look(patient) {
    // Segments are joined where packets come in one by one: at hardware. A virtual link hands on what was never cut.
    const hardware = underlayNames(patient).filter((name) => patient.links.get(name)?.kind === "");
    const states = underlayNames(patient).map((name) => ({ name, merges: joins(name, hardware.includes(name)) }));
    const known = states.filter(({ merges }) => merges !== undefined);
    if (known.length === 0) return [unknown("offloads", "no link of this host tells")];
    const slow = known.filter(({ merges }) => !merges?.receive || !merges.send);
    if (slow.length === 0)
      return [ok("offloads", `packets are handled many at once on ${known.map(({ name }) => name).join(", ")}`)];
    return slow.map(({ name, merges }) => {
      const off = [merges?.receive ? "" : "gro", merges?.send ? "" : "gso"].filter((word) => word !== "");
      const text = `${off.join(" and ")} off on ${name}: each packet is handled alone, which is many times slower`;
      return bad("offloads", "warning", text, `ethtool -K ${name} ${off.map((word) => `${word} on`).join(" ")}`);
    });
  },
};
