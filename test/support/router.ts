// SPDX-License-Identifier: Apache-2.0
// A host of a lab as a router that hides the hosts behind it (source NAT), like the one at most people's homes: whoever is outside sees one
// address, and gets in only where somebody inside has spoken first.
import type { Host } from "./lab-host.ts";
import type { Segment } from "./segment.ts";

export class NatRouter {
  readonly #host: Host;

  private constructor(host: Host) {
    this.#host = host;
  }

  /** Makes `host` the way out of `inside` for all others there. Its mappings take a new port each time they are made. */
  static async on(host: Host, inside: Segment, outside: Segment): Promise<NatRouter> {
    const out = outside.device(host);
    await host.must(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    const rules = `table ip home {
      chain out { type nat hook postrouting priority srcnat; oifname ${out} masquerade fully-random; }
      chain in { type filter hook forward priority filter; iifname ${out} ct state != { established, related } drop; }
    }`;
    await host.must(["nft", "-f", "-"], { stdin: rules });
    for (const other of inside.hosts) {
      if (other !== host) await other.must(["ip", "route", "add", "default", "via", inside.address(host)]);
    }
    return new NatRouter(host);
  }

  /** It forgets every mapping, as one that is switched off and on. Returns how many there were of UDP. */
  async forget(): Promise<number> {
    const before = await this.mappings();
    await this.#host.must(["conntrack", "-F"]);
    return before.size;
  }

  /** Outside ports of UDP by inside address and port, of those that were answered. */
  async mappings(): Promise<Map<string, number>> {
    const listed = await this.#host.must(["conntrack", "-L", "-p", "udp"]);
    const line = /^udp .*?src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) src=\S+ dst=\S+ sport=\d+ dport=(\d+)/gm;
    return new Map(
      [...listed.matchAll(line)].map(([, from, to, own, port, mapped]) => [`${from}:${own} ${to}:${port}`, Number(mapped)]),
    );
  }

  /** A mapping of UDP that nobody uses ends after so long. */
  async endUdpAfter(seconds: number): Promise<void> {
    for (const kind of ["timeout", "timeout_stream"]) {
      await this.#host.must(["sysctl", "-q", "-w", `net.netfilter.nf_conntrack_udp_${kind}=${seconds}`]);
    }
  }
}
