// SPDX-License-Identifier: Apache-2.0
// The commands that open a firewall, in the words of whoever made the chain that is closed: a rule put into the chains of firewalld or ufw by hand is
// gone when they start anew.
import { type BaseChain, type Filter, type Packet, tableOf } from "../firewall/verdict.ts";

export interface Port {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

export function isFirewalld({ chain }: BaseChain): boolean {
  return tableOf(chain).endsWith(" firewalld");
}
function isUfw({ chains }: Filter, { chain }: BaseChain): boolean {
  return ["ufw-user-input", "ufw6-user-input"].some((name) => chains.has(`${tableOf(chain)} ${name}`));
}

const RELOAD = "firewall-cmd --reload";
/** What the package's firewalld service opens. */
const USUAL_PORTS: ReadonlySet<number> = new Set([6783, 6784, 6785]);

export function letPeersIn(filter: Filter, by: BaseChain, ports: readonly Port[]): string {
  if (isFirewalld(by)) {
    const isUsual = ports.every(({ port }) => USUAL_PORTS.has(port));
    const opened = isUsual ? ["--add-service=weave"] : ports.map(({ port, protocol }) => `--add-port=${port}/${protocol}`);
    return `firewall-cmd --permanent ${opened.join(" ")} && ${RELOAD}`;
  }
  if (isUfw(filter, by)) return ports.map(({ port, protocol }) => `ufw allow ${port}/${protocol}`).join("; ");
  return inserted(
    by.chain,
    ports.map(({ port, protocol }) => [`-p ${protocol} --dport ${port}`, `${protocol} dport ${port}`]),
  );
}

export function letContainersAsk(filter: Filter, by: BaseChain, { link, port }: Packet): string {
  // It is in a zone of Docker's own when Docker started after firewalld; in another one by hand, Docker would not start any more.
  if (isFirewalld(by)) return /^(docker|br-)/.test(link) ? "systemctl restart docker" : trusted(link);
  if (isUfw(filter, by)) return `ufw allow in on ${link} to any port ${port}`;
  return inserted(by.chain, [[`-i ${link} -p udp --dport ${port}`, `iifname "${link}" udp dport ${port}`]]);
}

interface Way {
  readonly in?: string;
  readonly out?: string;
}

/** @param ways links of what is to be forwarded */
export function letForward(filter: Filter, by: BaseChain, bridge: string, ways: readonly Way[]): string {
  if (isFirewalld(by)) return trusted(bridge);
  const sides = ways.map((way) => Object.entries(way) as ["in" | "out", string][]);
  if (isUfw(filter, by))
    return sides.map((way) => `ufw route allow ${way.map(([side, link]) => `${side} on ${link}`).join(" ")}`).join("; ");
  const matches = sides.map((way): Match => {
    const old = way.map(([side, link]) => `-${side.charAt(0)} ${link}`).join(" ");
    return [old, way.map(([side, link]) => `${side.charAt(0)}ifname "${link}"`).join(" ")];
  });
  return inserted(userChain(filter, by), matches);
}

/** Where Docker leaves room for others' rules. */
function userChain({ chains }: Filter, { chain }: BaseChain): string {
  const user = `${tableOf(chain)} DOCKER-USER`;
  return chains.has(user) ? user : chain;
}

function trusted(link: string): string {
  return `firewall-cmd --permanent --zone=trusted --add-interface=${link} && ${RELOAD}`;
}

/** In the words of iptables, and of nft. */
type Match = readonly [old: string, modern: string];

/** A comment of the shell, because the whole is there to be typed. */
const NOT_FOR_LONG = "# until the next boot; to last, put it where this host keeps its rules";

function inserted(chain: string, matches: readonly Match[]): string {
  const [kind = "", table = "", name = ""] = chain.split(" ");
  const isLegacy = kind.endsWith("-legacy");
  const commands = matches.map(([old, modern]) =>
    isLegacy ? `${kind} -t ${table} -I ${name} ${old} -j ACCEPT` : `nft insert rule ${chain} ${modern} accept`,
  );
  return `${commands.join("; ")} ${NOT_FOR_LONG}`;
}
