// SPDX-License-Identifier: Apache-2.0
// The Docker API proxy, joined to Docker, attach and the name service.
import { readWaiter } from "../../native/waiter/programs.ts";
import type { ProxyStatus } from "../api/status.ts";
import type { Attacher } from "../attach/attacher.ts";
import type { DaemonConfig } from "../config/load.ts";
import { DockerClient } from "../docker/client.ts";
import type { ContainerEvent } from "../docker/decode.ts";
import { parseDockerEndpoint } from "../docker/endpoint.ts";
import { dockerTlsFlags } from "../host/docker-flags.ts";
import { hostsFile } from "../host/plumber-hosts-file.ts";
import { copySocketRights } from "../host/socket-rights.ts";
import type { NameServer } from "../proxy/create.ts";
import { readPattern } from "../proxy/hostname.ts";
import { endpointsOf, formatEndpoint, ProxyListeners } from "../proxy/listen.ts";
import { DockerProxy } from "../proxy/proxy.ts";
import { Starts } from "../proxy/starts.ts";
import { dockerTls, proxyTls } from "../proxy/tls.ts";
import { connectDocker } from "../proxy/upstream.ts";
import { installWaiter } from "../proxy/waiter-folder.ts";
import { every, systemClock } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { DnsService } from "./dns.ts";

/** What runs is compared with what is attached. */
const LOOK_MS = 30_000;

export interface ProxyParts {
  /** null: no proxy, but what it made before is attached all the same. */
  status(): ProxyStatus | null;
  connected(): void;
  event(event: ContainerEvent): void;
}

/** undefined: this daemon runs without Docker. @throws {UserError} the certificates cannot be read */
export function dockerClient(config: DaemonConfig): DockerClient | undefined {
  if (config.dockerApi === "") return undefined;
  return new DockerClient(parseDockerEndpoint(config.dockerApi, dockerTls(config)));
}

/** @throws {UserError} it cannot listen */
export async function createProxy(
  config: DaemonConfig,
  parts: {
    readonly docker: DockerClient | undefined;
    readonly attacher: Attacher;
    readonly dns: DnsService | undefined;
    readonly log: Log;
    readonly owned: AsyncDisposableStack;
  },
): Promise<ProxyParts | undefined> {
  const { docker, attacher, log, owned } = parts;
  if (!docker) return undefined;
  const clock = systemClock;
  const waiterFolder = installWaiter(config.dataDir, readWaiter(), config);
  const starts = owned.use(
    new Starts(config, {
      details: (word) => docker.details(word),
      running: () => docker.running(),
      kill: (id) => docker.kill(id),
      readHosts,
      attach: (request) => attacher.attach(request),
      clock,
      log,
    }),
  );
  owned.use(every(clock, LOOK_MS, () => void starts.look()));
  const listeners = config.noProxy ? undefined : await listen(config, { ...parts, docker, starts, waiterFolder });
  if (listeners) owned.use(listeners.listeners);
  return {
    status: () => listeners?.status ?? null,
    connected() {
      listeners?.copyRights();
      void starts.look();
    },
    event({ action, id }) {
      if (action === "start") void starts.heard(id);
      else starts.ended(id);
    },
  };
}

async function listen(
  config: DaemonConfig,
  parts: {
    readonly docker: DockerClient;
    readonly attacher: Attacher;
    readonly dns: DnsService | undefined;
    readonly log: Log;
    readonly starts: Starts;
    readonly waiterFolder: string;
  },
): Promise<{ readonly listeners: ProxyListeners; readonly status: ProxyStatus; copyRights(): void }> {
  const { docker, attacher, dns, log, starts, waiterFolder } = parts;
  const hostname = {
    fromLabel: config.hostnameFromLabel,
    match: readPattern(config.hostnameMatch),
    replacement: config.hostnameReplacement,
  };
  const proxy = new DockerProxy(
    { ...config, hostname, waiterFolder },
    {
      starts,
      details: (word) => docker.details(word),
      image: (name) => docker.image(name),
      attachment: (id) => attacher.list().find(({ owner }) => owner === id),
      nameServer: () => (config.withoutDns ? undefined : nameServerOf(dns)),
      log,
    },
  );
  const endpoints = endpointsOf(config.proxyListen);
  const tls = endpoints.some(({ kind }) => kind === "tcp") ? proxyTls(config, log, dockerTlsFlags) : undefined;
  const listeners = await ProxyListeners.open(endpoints, tls, {
    connect: () => connectDocker(docker.endpoint, systemClock),
    intercept: (head) => proxy.intercept(head),
    clock: systemClock,
    log,
  });
  const copyRights = (): void => {
    for (const path of listeners.paths) {
      try {
        copySocketRights(path, docker.endpoint.socketPath);
      } catch (thrown) {
        log.warn("only root may use the docker proxy's socket", { reason: errorText(thrown) });
      }
    }
  };
  copyRights();
  return { listeners, status: { addresses: endpoints.map(formatEndpoint) }, copyRights };
}

/** Where containers can ask: not this host's own loopback, and resolvers know one port only. */
function nameServerOf(dns: DnsService | undefined): NameServer | undefined {
  const listen = dns?.address();
  if (!dns || listen?.port !== 53 || listen.host.startsWith("127.") || listen.host === "::1") return undefined;
  return { address: listen.host, domain: dns.domain.text };
}

function readHosts(path: string): string {
  try {
    return hostsFile.read(path);
  } catch {
    return ""; // the attach that asks for it says what is wrong with it
  }
}
