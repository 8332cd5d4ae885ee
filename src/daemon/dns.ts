// SPDX-License-Identifier: Apache-2.0
// The name service of this host: the network's names, the name server over them, and the host's own resolver that is told of it. Joins the parts
// and follows the host: Docker's bridge may come and go, and with it the address to listen on.
import type { ContainerNames, NamedTarget } from "../attach/ports.ts";
import type { DaemonConfig } from "../config/load.ts";
import { type Entry, whyBadEntry } from "../dns/entry.ts";
import { type DomainName, isBelow, nameOfTarget, parseName } from "../dns/name.ts";
import { NAMES_CHANNEL, type NameJournal, Names } from "../dns/names.ts";
import { Zone } from "../dns/zone.ts";
import { type DnsListen, DnsServer } from "../host/dns-server.ts";
import { DNS_PORT, Upstream } from "../host/dns-upstream.ts";
import type { Links } from "../host/links.ts";
import { ResolvConf } from "../host/resolv-conf.ts";
import { Resolved } from "../host/resolved.ts";
import type { Mesh } from "../mesh/mesh.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import type { Routes } from "../mesh/ports.ts";
import { type Cidr, cidrContains } from "../net/cidr.ts";
import { formatIpPort } from "../net/endpoint.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Counters } from "../runtime/counters.ts";
import { errorText, invariant, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";

/** Without a Docker bridge there are no containers to listen for; the host itself still can ask. Not 127.0.0.53, which is systemd-resolved's. */
const WITHOUT_BRIDGE = parseIp("127.0.0.83")!;
const LOOPBACK: readonly Cidr[] = [
  { address: parseIp("127.0.0.0")!, prefixLength: 8 },
  { address: parseIp("::1")!, prefixLength: 128 },
];
const WILDCARDS: readonly string[] = ["0.0.0.0", "::"];
/** Bridges of Docker's further networks, and the one by which containers on networks of plugins and swarms reach their host. */
const DOCKER_NETWORK = /^(br-[0-9a-f]{12}|docker_gwbridge)$/;

export interface DnsPorts {
  readonly self: PeerName;
  readonly mesh: Mesh;
  readonly journal: NameJournal;
  readonly links: Links;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
}
type DnsConfig = Pick<
  DaemonConfig,
  "dnsDomain" | "dnsListenAddress" | "dnsTtlSeconds" | "dnsFallbackTimeoutMs" | "resolvConf" | "dockerBridge" | "weaveBridge"
>;

export class DnsService implements AsyncDisposable, ContainerNames {
  readonly names: Names;
  readonly domain: DomainName;
  readonly #config: DnsConfig;
  readonly #ports: DnsPorts;
  readonly #zone: Zone;
  readonly #upstream: Upstream;
  readonly #resolvConf: ResolvConf;
  readonly #resolved: Resolved;
  #server: DnsServer | undefined;
  #trouble = "";
  #served: readonly Cidr[] = [];
  #own: ReadonlySet<Ip> = new Set();
  #looking: Promise<void> = Promise.resolve();

  constructor(config: DnsConfig, ports: DnsPorts) {
    const { clock, random, counters, mesh } = ports;
    const domain = parseName(config.dnsDomain);
    invariant(domain, "the option's reader checks the domain");
    this.domain = domain;
    this.#config = config;
    this.#ports = ports;
    this.names = new Names(ports.self, {
      clock,
      journal: ports.journal,
      channel: (handler) => mesh.channel(NAMES_CHANNEL, handler),
    });
    this.#zone = new Zone({ directory: this.names.directory, domain, ttlSeconds: config.dnsTtlSeconds, random });
    this.#resolvConf = new ResolvConf(config.resolvConf, clock);
    this.#resolved = new Resolved(ports);
    this.#upstream = new Upstream({
      clock,
      random,
      servers: () => this.upstream().map((host) => ({ host, port: DNS_PORT })),
      timeoutMs: config.dnsFallbackTimeoutMs,
      outcomes: counters.family("weave_dns_upstream_total", "Questions for other name servers by outcome.", "outcome"),
    });
  }

  /** Answers from now on, and tells the network our names. @throws {UserError} the address that was asked for cannot be listened on */
  async start(): Promise<void> {
    await this.look();
    if (!this.#server && this.#config.dnsListenAddress) throw new UserError("unavailable", this.#trouble);
    this.names.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#looking;
    await this.#resolved[Symbol.asyncDispose]();
    this.#server?.[Symbol.dispose]();
    this.names[Symbol.dispose]();
  }

  setRoutes(routes: Routes): void {
    this.names.setPeers(new Set([...routes.unicast.keys()]));
  }

  /** Addresses or links of the host may have changed, or the file of its name servers. Never throws. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look());
    return this.#looking;
  }

  /** Where clients of this host ask; undefined: nowhere now. */
  address(): DnsListen | undefined {
    const listen = this.#server?.listen;
    if (!listen || !WILDCARDS.includes(listen.host)) return listen;
    return { host: this.#bridgeAddress() ?? parseIp("127.0.0.1")!, port: listen.port };
  }
  /** Why names are not answered here; empty when they are. */
  warning(): readonly string[] {
    return this.#trouble === "" ? [] : [this.#trouble];
  }
  /** Servers that are asked for all other names. */
  upstream(): readonly Ip[] {
    const own = this.#server?.listen;
    if (own?.port !== DNS_PORT) return this.#resolvConf.servers();
    const hasAll = WILDCARDS.includes(own.host);
    const isOurs = (ip: Ip): boolean => ip === own.host || (hasAll && (this.#isOwn(ip) || contain(LOOPBACK, ip)));
    return this.#resolvConf.servers().filter((ip) => !isOurs(ip));
  }

  register(target: NamedTarget, addresses: readonly Ip[]): readonly string[] {
    const name = this.nameOf(target);
    return name ? this.record(name, target.owner, addresses) : [];
  }

  /** For what is done already and stays so: a name that cannot be added is told as a sentence. */
  record(name: DomainName, container: string, addresses: readonly Ip[]): readonly string[] {
    try {
      this.add(name, container, addresses);
      return [];
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown;
      return [`'${name.text}' could not be added: ${thrown.message}`];
    }
  }

  /** Never throws: what could not be written now is swept away within half a minute. */
  withdraw(owner: string, addresses: readonly Ip[]): void {
    try {
      this.names.remove({ container: owner, addresses });
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown;
      this.#ports.log.warn("names could not be removed", { container: owner, reason: thrown.message });
    }
  }

  nameOf({ name, container }: NamedTarget): DomainName | undefined {
    const details = container ? { id: container.id, hostname: container.hostname, domain: container.domain } : {};
    return nameOfTarget({ name, ...details }, this.domain);
  }

  /** Reads a name somebody wants to give. @returns undefined: it does not lie in our domain @throws {UserError} it is no host name */
  readName(text: string): DomainName | undefined {
    const name = parseName(text);
    if (!name) throw new UserError("bad-request", `'${text}' is not a host name`, `write for example web.${this.domain.text}`);
    return isBelow(name.key, this.domain.key) ? name : undefined;
  }

  /** @throws {UserError} */
  add(name: DomainName, container: string, addresses: readonly Ip[]): void {
    const entries: Entry[] = addresses.map((address) => ({ name: name.text, container, address }));
    const why = entries.map(whyBadEntry).find((one) => one !== undefined);
    if (why !== undefined) throw new UserError("bad-request", `cannot add '${name.text}' for '${container}': ${why}`);
    this.names.change(entries);
  }

  async #look(): Promise<void> {
    try {
      this.#readNetworks();
      await this.#listen();
      this.#trouble = "";
    } catch (thrown) {
      const trouble = thrown instanceof UserError && thrown.hint !== "" ? `${thrown.message}; ${thrown.hint}` : errorText(thrown);
      if (trouble !== this.#trouble) this.#ports.log.warn("names are not answered", { reason: trouble });
      this.#trouble = trouble;
    }
    void this.#resolved.apply(this.#resolvedPlan()); // a bus that hangs holds nothing up
  }

  #readNetworks(): void {
    const { links } = this.#ports;
    const names = new Map(links.list().map((link) => [link.index, link.name]));
    const all = links.addresses();
    const listenHost = this.#config.dnsListenAddress?.host;
    const carries = all.find(({ cidr }) => cidr.address === listenHost)?.linkIndex;
    const isServed = (linkIndex: number): boolean => {
      const name = names.get(linkIndex) ?? "";
      return (
        linkIndex === carries ||
        name === this.#config.dockerBridge ||
        name === this.#config.weaveBridge ||
        DOCKER_NETWORK.test(name)
      );
    };
    this.#served = [...LOOPBACK, ...all.filter(({ linkIndex }) => isServed(linkIndex)).map(({ cidr }) => cidr)];
    this.#own = new Set(all.map(({ cidr }) => cidr.address));
    this.#server?.networksChanged();
  }

  #isOwn(ip: Ip): boolean {
    return this.#own.has(ip);
  }

  async #listen(): Promise<void> {
    const wanted = this.#config.dnsListenAddress ?? { host: this.#bridgeAddress() ?? WITHOUT_BRIDGE, port: DNS_PORT };
    const now = this.#server?.listen;
    if (now?.host === wanted.host && now.port === wanted.port) return;
    const { clock, counters, log } = this.#ports;
    const server = await DnsServer.open(wanted, {
      zone: this.#zone,
      forward: (request, question, transport) => this.#upstream.ask(request, question, transport),
      serves: (source) => this.#isOwn(source) || contain(this.#served, source),
      clock,
      queries: counters.family("weave_dns_queries_total", "Questions answered, by outcome.", "outcome"),
      dropped: counters.family("weave_dns_dropped_total", "Questions and connections of clients that were not answered."),
    });
    this.#server?.[Symbol.dispose]();
    this.#server = server;
    log.info("answering names", { address: formatIpPort(wanted.host, wanted.port), domain: this.domain.text });
  }

  #bridgeAddress(): Ip | undefined {
    const link = this.#ports.links.get(this.#config.dockerBridge);
    const addresses = link ? this.#ports.links.addresses(link.index) : [];
    return addresses.find(({ cidr }) => !cidr.address.includes(":"))?.cidr.address;
  }

  /** resolved uses links with an address only: our bridge when the host is exposed, else the one we listen on. */
  #resolvedPlan(): Parameters<Resolved["apply"]>[0] {
    const server = this.address();
    if (!server) return undefined;
    const { links } = this.#ports;
    const bridge = links.get(this.#config.weaveBridge);
    const ours = bridge && links.addresses(bridge.index).some(({ scope }) => scope === 0) ? bridge.index : undefined;
    const listens = links.addresses().find(({ cidr }) => cidr.address === server.host)?.linkIndex;
    const linkIndex = ours ?? (listens !== undefined && links.get(listens)?.loopback === false ? listens : undefined);
    return linkIndex === undefined ? undefined : { linkIndex, server, domain: this.domain.text };
  }
}

function contain(subnets: readonly Cidr[], ip: Ip): boolean {
  return subnets.some((subnet) => cidrContains(subnet, ip));
}

/** Where there is no name service. */
export const noNames: ContainerNames = { register: () => [], withdraw: () => {} };
