// SPDX-License-Identifier: Apache-2.0
// The API's view of the name service, and the rules by which names belong to containers.
import type { DnsBackend, NamesRequest, NamesResponse } from "../api/dns.ts";
import { sortNames } from "../api/render/names.ts";
import type { DnsStatus } from "../api/status.ts";
import type { Attacher } from "../attach/attacher.ts";
import type { NamedTarget } from "../attach/ports.ts";
import type { DaemonConfig } from "../config/load.ts";
import { type Entry, EXTERN_OWNER, entryKey } from "../dns/entry.ts";
import type { DockerClient } from "../docker/client.ts";
import type { Exposer } from "../expose/exposer.ts";
import { EXPOSE_OWNER } from "../expose/exposure.ts";
import { formatPeerName } from "../mesh/peer-name.ts";
import { formatIpPort } from "../net/endpoint.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { DnsParts } from "./backend.ts";
import type { DnsService } from "./dns.ts";

export interface DnsBackendParts {
  readonly dns: DnsService;
  readonly attacher: Attacher;
  readonly exposer: Exposer;
  readonly docker: DockerClient | undefined;
}

const DOCKER_ID = /^[0-9a-f]{64}$/;

export function createDnsBackend(parts: DnsBackendParts): DnsBackend {
  const { dns, docker } = parts;
  return {
    domain: () => dns.domain.text,
    address() {
      const address = dns.address();
      if (!address) throw new UserError("unavailable", "names are not answered on this host now", "see 'weave status' for why");
      return address;
    },
    names: () => sortNames(dns.names.list().map(({ origin, ...entry }) => ({ ...entry, origin: formatPeerName(origin) }))),
    add: (request) => add(parts, request),
    remove: (request) => remove(parts, request),
    async put({ container, ip, fqdn, checkAlive }) {
      const name = dns.readName(fqdn);
      if (!name) return;
      dns.add(name, container, [readIp(ip)]);
      if (checkAlive && docker && (await docker.inspect(container))?.running === false) dns.names.remove({ container });
    },
    drop: ({ container, ip, fqdn }) =>
      void dns.names.remove({
        ...(container === undefined ? {} : { container }),
        ...(ip === undefined ? {} : { addresses: [ip] }),
        ...(fqdn === undefined ? {} : { name: dotted(fqdn) }),
      }),
  };
}

function readIp(text: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw new UserError("bad-request", `invalid address '${text}'`);
  return ip;
}
const dotted = (name: string): string => `${name.replace(/\.$/, "")}.`;

async function add(parts: DnsBackendParts, request: NamesRequest): Promise<NamesResponse> {
  const { dns } = parts;
  const target = request.container === "" ? undefined : await targetOf(parts, request.container);
  const addresses = request.addresses.length > 0 ? request.addresses.map(readIp) : (target?.addresses ?? []);
  if (addresses.length === 0) {
    throw new UserError("bad-request", `'${request.container}' has no address on the network`, "give one, or attach it first");
  }
  const name = request.fqdn === "" ? target && dns.nameOf(target) : dns.readName(request.fqdn);
  if (!name) {
    const what = request.fqdn === "" ? `the host name of '${request.container}'` : `'${request.fqdn}'`;
    return { changed: 0, warnings: [`${what} does not lie in ${dns.domain.text}, so nothing was added`] };
  }
  const before = dns.names.own().length;
  dns.add(name, target?.owner ?? EXTERN_OWNER, addresses);
  return { changed: dns.names.own().length - before, warnings: [] };
}

async function remove(parts: DnsBackendParts, request: NamesRequest): Promise<NamesResponse> {
  const container = request.container === "" ? EXTERN_OWNER : await ownerOf(parts, request.container);
  const changed = parts.dns.names.remove({
    container,
    ...(request.addresses.length === 0 ? {} : { addresses: request.addresses }),
    ...(request.fqdn === "" ? {} : { name: dotted(request.fqdn) }),
  });
  return { changed, warnings: changed === 0 ? ["there was no such name of this host"] : [] };
}

type FoundTarget = NamedTarget & { readonly addresses: readonly Ip[] };

async function targetOf({ attacher, docker }: DnsBackendParts, word: string): Promise<FoundTarget> {
  const attached = await attacher.find(word);
  const container = attached && !DOCKER_ID.test(attached.owner) ? undefined : await docker?.inspect(attached?.owner ?? word);
  if (attached) {
    const { owner, name, addresses } = attached;
    return { owner, name, container, addresses: addresses.map(({ address }) => address) };
  }
  if (!container)
    throw new UserError("not-found", `nothing is attached as '${word}', and no container has that name`, "see 'weave ps'");
  if (!container.running) throw new UserError("conflict", `container '${container.name}' is not running`, "start it first");
  return { owner: container.id, name: container.name, container, addresses: [] };
}

/** Also of what has ended. */
async function ownerOf({ dns, attacher, docker }: DnsBackendParts, word: string): Promise<string> {
  const known = dns.names.own().find(({ container }) => container === word || (word.length >= 12 && container.startsWith(word)));
  if (known) return known.container;
  const found = (await attacher.find(word))?.owner ?? (await docker?.inspect(word))?.id;
  if (found === undefined)
    throw new UserError("not-found", `nothing has names or is attached as '${word}'`, "see 'weave status dns'");
  return found;
}

/** What the backend of the whole API needs besides: names of the host's own addresses. */
export function hostNames({ dns }: Pick<DnsBackendParts, "dns">): Omit<DnsParts, "backend" | "status"> {
  return {
    check: (fqdn) => void dns.readName(fqdn),
    name(fqdn, addresses) {
      const name = dns.readName(fqdn);
      if (!name) return [`'${fqdn}' does not lie in ${dns.domain.text}, so no name was added`];
      return dns.record(name, EXPOSE_OWNER, addresses);
    },
    hidden: (addresses) => dns.withdraw(EXPOSE_OWNER, addresses),
  };
}

/** Sweeps names in the background, for nobody may wait for Docker while Docker may be waiting for the plugin. */
export function nameSweeper(parts: DnsBackendParts, log: Log): () => void {
  let isRunning = false;
  let again = false;
  return function sweep(): void {
    again = isRunning;
    if (isRunning) return;
    isRunning = true;
    void sweepNames(parts)
      .catch((thrown: unknown) => log.error("names could not be swept", { reason: errorText(thrown) }))
      .then(() => {
        isRunning = false;
        if (again) sweep();
      });
  };
}

/** Removes names of containers that are gone, whatever was or was not heard of their end. */
async function sweepNames({ dns, attacher, exposer, docker }: DnsBackendParts): Promise<void> {
  const attached = (): Set<string> => new Set(attacher.list().map(({ owner }) => owner));
  const isDoubtful = ({ container, address }: Entry): boolean => {
    if (container === EXTERN_OWNER) return false;
    if (container === EXPOSE_OWNER) return !exposer.holds(address);
    return (DOCKER_ID.test(container) || /^(netns|pid|tap|machine|containerd):/.test(container)) && !attached().has(container);
  };
  const doubtful = new Set(dns.names.own().filter(isDoubtful).map(entryKey));
  if (doubtful.size === 0) return;
  const running = await runningIds(docker);
  dns.names.keep((entry) => {
    if (!doubtful.has(entryKey(entry)) || !isDoubtful(entry)) return true;
    return DOCKER_ID.test(entry.container) && (running === undefined || running.has(entry.container));
  });
}

/** undefined: Docker does not say. */
async function runningIds(docker: DockerClient | undefined): Promise<ReadonlySet<string> | undefined> {
  if (!docker) return new Set();
  try {
    return new Set((await docker.running()).map(({ id }) => id));
  } catch (thrown) {
    if (thrown instanceof UserError) return undefined;
    throw thrown;
  }
}

/** For the status model. */
export function dnsStatus(dns: DnsService, config: Pick<DaemonConfig, "dnsTtlSeconds">): DnsStatus {
  const address = dns.address();
  return {
    domain: dns.domain.text,
    upstream: dns.upstream(),
    address: address ? formatIpPort(address.host, address.port) : "",
    ttlSeconds: config.dnsTtlSeconds,
    entries: dns.names.size,
    ownEntries: dns.names.own().length,
  };
}
