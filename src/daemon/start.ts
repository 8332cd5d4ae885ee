// SPDX-License-Identifier: Apache-2.0
// The composition root: builds every long-lived part, joins them, starts them in order and stops them in reverse. Nothing is decided here.
import { createHandlers } from "../api/handlers.ts";
import { API_SOCKET, startListener } from "../api/listen.ts";
import { explicitAddresses } from "../attach/addresses.ts";
import { storeOption } from "../config/launch-file.ts";
import { commandLineOf, type DaemonConfig } from "../config/load.ts";
import { loadIdentity } from "../host/identity.ts";
import { KernelWatch } from "../host/kernel-watch.ts";
import { logOutput } from "../host/log-output.ts";
import { HostBridge } from "../host/plumber-bridge.ts";
import { resolveHost } from "../host/resolve.ts";
import { sodiumSealing } from "../host/sealing.ts";
import { Sleeve } from "../host/sleeve.ts";
import { sleeveCiphers } from "../host/sleeve-ciphers.ts";
import { CAPTURE_END } from "../host/sleeve-link.ts";
import { checkSleevePort } from "../host/sleeve-port.ts";
import { ServiceManager } from "../host/systemd.ts";
import { checkListen } from "../host/tcp-listen.ts";
import { TcpTransport } from "../host/tcp-transport.ts";
import { removeWireguard } from "../host/wireguard-link.ts";
import type { Lease } from "../ipam/lease.ts";
import { toIp } from "../ipam/range.ts";
import { Mesh } from "../mesh/mesh.ts";
import { formatPeer, formatPeerName, type PeerName, parsePeerName } from "../mesh/peer-name.ts";
import type { Link, Routes } from "../mesh/ports.ts";
import { cidrContains } from "../net/cidr.ts";
import { parseIp } from "../net/ip.ts";
import { localUnicastMac } from "../net/mac.ts";
import { HOP_CHANNEL } from "../overlay/hop-channel.ts";
import { Overlay, transportNames } from "../overlay/paths.ts";
import { PeerPing } from "../overlay/peer-ping.ts";
import { every, systemClock } from "../runtime/clock.ts";
import { Counters } from "../runtime/counters.ts";
import { invariant } from "../runtime/errors.ts";
import { createLog, type Log, limitedLog } from "../runtime/log.ts";
import { systemRandom } from "../runtime/random.ts";
import { openStore, type Store } from "../store/store.ts";
import { type AttachmentParts, createAttachments } from "./attachments.ts";
import { createBackend } from "./backend.ts";
import { DnsService, noNames } from "./dns.ts";
import { createDnsBackend, dnsStatus, hostNames } from "./dns-backend.ts";
import { HealthWatch } from "./health.ts";
import { HostWireguard } from "./host-wireguard.ts";
import { chooseRange, createIpam, keepLeases } from "./ipam.ts";
import { KernelPlane, PIN_DIRECTORY } from "./kernel-plane.ts";
import { KnownContainers } from "./known-containers.ts";
import { lockHost } from "./lock.ts";
import { PasswordSet } from "./password-set.ts";
import { initialTargets, isSameLaunch, loadMesh, loadRevoked, readBootId, saveMesh } from "./persistence.ts";
import { createPlugin } from "./plugin.ts";
import { createProxy, dockerClient } from "./proxy.ts";
import { Reloader, reloadByLog } from "./reload.ts";
import { removeKernelObjects } from "./reset.ts";
import { routerParts, wireguardTotals } from "./router-parts.ts";
import { SleeveControl } from "./sleeve-control.ts";
import { ownTidier } from "./tidy.ts";
import { createSupervisor } from "./upkeep.ts";
import { watchDocker } from "./watch-docker.ts";

/** By then start-up is over, and what only it needed can go. */
const SETTLED_MS = 5_000;

const LOOKUP_MS = 3_000;

/** Runs the daemon until it is told to stop. @param load reads the configuration again, see `reload.ts` @throws {UserError} it cannot start; then nothing was left behind that was not there before */
export async function runDaemon(config: DaemonConfig, version: string, load: () => DaemonConfig): Promise<void> {
  const clock = systemClock;
  let reloader: Reloader | undefined;
  const log = createLog({
    get level() {
      return reloader?.config.logLevel ?? config.logLevel;
    },
    write: logOutput({ env: process.env, clock }),
  });
  await using owned = new AsyncDisposableStack();
  owned.use(lockHost("cannot start"));
  log.info("starting", { version, pid: process.pid, options: commandLineOf(config) || undefined });
  checkListen(config.host, config.port); // who holds it may be another network's daemon, on a bridge and a data port of the same names
  checkSleevePort(config.host, config.port);
  const stop = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
  });
  const daemon = await build(config, version, load, log, owned);
  reloader = daemon.reloader;
  const manager = ServiceManager.fromEnvironment(process.env, process.pid);
  manager?.ready(`peer ${daemon.peer}`);
  if (manager?.watchdogMs !== undefined) owned.use(every(clock, manager.watchdogMs / 3, () => void manager.alive()));
  log.info("ready", { peer: daemon.peer, port: config.port });
  process.on("SIGHUP", () => {
    manager?.reloading();
    reloadByLog(daemon.reloader, log);
    manager?.ready(`peer ${daemon.peer}`);
  });
  await stop;
  log.info("stopping, the network goes on without the daemon");
  manager?.stopping();
}

async function build(
  config: DaemonConfig,
  version: string,
  load: () => DaemonConfig,
  log: Log,
  owned: AsyncDisposableStack,
): Promise<{ readonly peer: string; readonly reloader: Reloader }> {
  const clock = systemClock;
  const startedAtMs = clock.wallMs();
  const counters = new Counters();
  const bootId = readBootId();
  const store = owned.use(openStore(config.dataDir, clock));
  const identity = loadIdentity(config.dataDir, startedAtMs);
  for (const warning of [...store.warnings, ...identity.warnings]) log.warn("state was damaged", { reason: warning });
  const name = config.name === undefined ? identity.name : (parsePeerName(config.name) ?? identity.name);

  const kernel = owned.use(
    new KernelPlane({
      bridge: config.weaveBridge,
      dataPort: config.port + 1,
      mtuBytes: config.mtuBytes,
      encrypts: config.passwords.length > 0,
      mac: localUnicastMac(name),
      pinDir: PIN_DIRECTORY,
      log,
    }),
  );
  using undo = new DisposableStack();
  if (kernel.isNew) undo.defer(() => removeKernelObjects(config.weaveBridge));
  const targets = initialTargets(store, config);
  let routesChanged: (routes: Routes) => void = () => {};
  let reloader: Reloader | undefined;
  const { mesh, transport, overlay, sleeve, wireguard } = createMesh(config, {
    trustedSubnets: () => (reloader?.config ?? config).trustedSubnets,
    identity,
    name,
    bootId,
    store,
    kernel,
    counters,
    log,
    owned,
    routesChanged: (routes) => routesChanged(routes),
  });
  const names = config.noDns ? undefined : createDns(config, { name, mesh, store, kernel, counters, log, owned });
  routesChanged = (routes) => names?.setRoutes(routes);
  const bridge = owned.use(new HostBridge({ bridge: config.weaveBridge, log }));
  const range = chooseRange(config, store, bridge, log);
  const describe = (owner: string): string => attachments.attacher.list().find((one) => one.owner === owner)?.name ?? owner;
  const known = new KnownContainers(clock);
  const mayReturn = ({ owner, address }: Lease): boolean => known.has(owner) || plugin?.mayReturn(toIp(address)) === true;
  const ipam = range && createIpam(config, range, { self: name, mesh, store, clock, log, describe, mayReturn });
  if (ipam) owned.use(ipam.allocator);
  const attachments: AttachmentParts = owned.use(
    createAttachments(
      { bridge: config.weaveBridge, hostName: formatPeerName(name), bootId, docker: dockerClient(config) },
      { store, kernel, names: names ?? noNames, clock, log, bridge, addresses: ipam?.book ?? explicitAddresses },
    ),
  );
  transport.listen();
  mesh.start();
  overlay.release();
  // Only now: until then the switch may have sent inside, as an earlier daemon left it.
  if (typeof wireguard.current === "string") removeWireguard(kernel.links);

  const dns = names && { dns: names, ...attachments };
  const mtuBytes = () => kernel.mtuBytes;
  const parts = {
    store,
    attachments,
    ipam,
    dns: names,
    hostName: formatPeerName(name),
    mtuBytes,
    clock,
    random: systemRandom,
    log,
  };
  const plugin = config.noPlugin ? undefined : createPlugin(config, parts);
  const repairs = counters.family(
    "weave_kernel_repairs_total",
    "Things in the kernel that were not as they should be and were repaired",
  );
  const tidier = ownTidier(process.execPath);
  owned.use(clock.after(SETTLED_MS, () => tidier.tidy()));
  const supervisor = createSupervisor({ kernel, overlay, wireguard, attachments, plugin, dns, mesh, log, repairs, tidier });
  owned.defer(() => supervisor.stop());
  await supervisor.pass();
  await names?.start();
  owned.use(
    await KernelWatch.open({
      clock,
      links: kernel.links,
      bridge: config.weaveBridge,
      onChange: (changes) => supervisor.changed(changes),
    }),
  );
  if (ipam) owned.use(keepLeases(ipam, { store, runtime: attachments.runtime, clock, log }));
  if (plugin) owned.use(plugin);
  const proxy = await createProxy(config, { ...attachments, dns: names, log, owned });
  watchDocker(attachments, { known, proxy, plugin }, log, owned);
  const passwords = new PasswordSet(
    { initial: config.passwords, areFixed: config.origins.passwords === "flag" },
    {
      store: (texts) => storeOption(config.dataDir, "passwords", texts),
      use: (texts) => transport.setPasswords(texts),
      required: () => {
        // Before the connections that were made without are closed, so that the next ones find it; closed they are in any case.
        try {
          if (kernel.encrypt()) supervisor.changed(new Set(["ours"])); // the MTU of what is attached
          overlay.encrypt(wireguard.begin(), kernel.mtuBytes);
        } finally {
          mesh.passwordRequired();
        }
      },
    },
  );
  reloader = new Reloader(config, {
    load,
    setPasswords: (texts) => passwords.adopt(texts),
    trustChanged: () => mesh.trustChanged(),
    setPeers: (next) => {
      if (next.launchId === "" || isSameLaunch(store, next)) return false;
      mesh.connect(initialTargets(store, next), { replace: true });
      return true;
    },
  });
  const inForce = reloader;
  const health = owned.use(
    new HealthWatch(
      {
        bridge: config.weaveBridge,
        connections: () => mesh.view().connections.map((one) => ({ ...one, path: one.peer && overlay.pathOf(one.peer.name) })),
        wireguardMissing: () => {
          const { current } = wireguard;
          return passwords.texts.length > 0 && typeof current === "string" ? current : undefined;
        },
      },
      { clock, log },
    ),
  );
  await health.look();

  const ping = new PeerPing({
    clock,
    self: name,
    routes: () => mesh.routes(),
    pathOf: (peer) => overlay.pathOf(peer),
    probeable: (peer) => overlay.probeable(peer),
    largestBytes: (peer) => overlay.largestBytes(peer),
    probe: (...probe) => overlay.ping(...probe),
    channel: (handler) => mesh.channel(HOP_CHANNEL, handler),
  });
  let ready = false;
  const backend = createBackend({
    config,
    version,
    startedAtMs,
    mesh,
    attacher: attachments.attacher,
    exposer: attachments.exposer,
    bridges: attachments.bridges,
    passwords,
    reloader,
    ping,
    ipam,
    runtime: attachments.runtime,
    log,
    router: () => routerParts({ ...inForce.config, passwords: passwords.texts }, kernel, overlay, repairs),
    warnings: () => [
      ...store.warnings,
      ...identity.warnings,
      ...(names?.warning() ?? []),
      ...health.warnings(),
      ...(plugin?.warnings() ?? []),
    ],
    dns: dns && { backend: createDnsBackend(dns), status: () => dnsStatus(dns.dns, config), ...hostNames(dns) },
    notes: () => [...health.notes(), ...supervisor.notes()],
    proxy: () => proxy?.status() ?? null,
    plugin: () => plugin?.status() ?? null,
    transports: async () => ({
      switches: overlay.switches(),
      sleeve: await sleeve.totals(),
      wireguard: wireguardTotals(wireguard, overlay),
    }),
    ready: () => ready,
    resolves: (host) => inTime(resolveHost(host), host),
    targetsChanged: () => store.targets.replace(mesh.targets()),
    counters,
  });
  const requests = counters.family("weave_api_requests_total", "Requests to the API by outcome", "outcome");
  const handlers = createHandlers(backend);
  owned.use(await startListener({ handlers, readOnly: false, log, requests }, { kind: "unix", path: API_SOCKET }));
  const { statusAddr, httpAddr } = config;
  if (statusAddr) owned.use(await startListener({ handlers, readOnly: true, log, requests, flag: "status-addr" }, statusAddr));
  if (httpAddr) owned.use(await startListener({ handlers, readOnly: false, log, requests, flag: "http-addr" }, httpAddr));
  await plugin?.listen();
  mesh.connect(targets, { replace: true });
  ready = true;
  undo.move();
  return { peer: formatPeer(name, config.nickname), reloader };
}

function createDns(
  config: DaemonConfig,
  parts: {
    readonly name: PeerName;
    readonly mesh: Mesh;
    readonly store: Store;
    readonly kernel: KernelPlane;
    readonly counters: Counters;
    readonly log: Log;
    readonly owned: AsyncDisposableStack;
  },
): DnsService {
  const { name: self, mesh, store, kernel, counters, log, owned } = parts;
  const ports = { self, mesh, journal: store.names, links: kernel.links, counters, log };
  return owned.use(new DnsService(config, { ...ports, clock: systemClock, random: systemRandom }));
}

interface MeshParts {
  readonly mesh: Mesh;
  readonly transport: TcpTransport;
  readonly overlay: Overlay;
  readonly sleeve: SleeveControl;
  readonly wireguard: HostWireguard;
}

function createMesh(
  config: DaemonConfig,
  parts: {
    trustedSubnets(): DaemonConfig["trustedSubnets"];
    readonly identity: ReturnType<typeof loadIdentity>;
    readonly name: PeerName;
    readonly bootId: string;
    readonly store: Store;
    readonly kernel: KernelPlane;
    readonly counters: Counters;
    readonly log: Log;
    readonly owned: AsyncDisposableStack;
    routesChanged(routes: Routes): void;
  },
): MeshParts {
  const clock = systemClock;
  const { identity, name, bootId, store, kernel, counters, owned } = parts;
  const log = limitedLog(parts.log, clock); // peers bring about most of what is told from here
  const restored = loadMesh(store, bootId, log);
  const trusts = (ip: string): boolean => {
    const address = parseIp(ip);
    return address !== undefined && parts.trustedSubnets().some((subnet) => cidrContains(subnet, address));
  };
  const transport = new TcpTransport({
    ...(config.host === undefined ? {} : { host: config.host }),
    port: config.port,
    identity: identity.keys,
    passwords: config.passwords,
    sealing: sodiumSealing,
    clock,
    log,
    counters,
    hello: (remoteAddress) => mesh.helloFor(remoteAddress),
    accepted: (link: Link) => mesh.accepted(link),
    turnedAway: (...attempt) => mesh.turnedAway(...attempt),
  });
  owned.defer(() => transport.stop());
  const fastdp = !config.noFastdp;
  const sleeve = new SleeveControl(sleeveCiphers(), {
    clock,
    log,
    start: (news) =>
      Sleeve.open(
        { port: config.port, host: config.host, captureLink: CAPTURE_END, largestMtuBytes: kernel.underlayMtuBytes() },
        news,
      ),
    mtu: (session, bytes) => overlay.sleeveMtu(session.neighbour, bytes),
    lost: (reason) => overlay.sleeveLost(reason),
  });
  owned.use(sleeve);
  const wireguard = owned.use(
    new HostWireguard({
      fastdp,
      links: kernel.links,
      port: config.port + 2,
      identity: identity.keys.publicKey,
      underlayMtuBytes: () => kernel.narrowestMtuBytes(),
      clock,
      log,
      linkChanged: (ifindex) => kernel.setWireguard(ifindex),
    }),
  );
  if (config.passwords.length > 0) wireguard.begin();
  const overlay: Overlay = new Overlay(
    { fastdp, dataPort: config.port + 1, mtuBytes: kernel.mtuBytes },
    {
      clock,
      random: systemRandom,
      log,
      counters,
      sealing: sodiumSealing,
      switch: kernel,
      sleeve,
      wireguard: wireguard.current,
      replies: () => kernel.datapath.probeReplies(),
      alive: (peer, rttMs) => mesh.pathReply(peer, rttMs),
    },
  );
  owned.defer(() => overlay.stop());
  overlay.takeUp();
  const mesh: Mesh = new Mesh(
    {
      name,
      nickname: config.nickname,
      publicKey: identity.keys.publicKey,
      port: config.port,
      discovery: !config.noDiscovery,
      connectionLimit: config.connLimit,
      passwordSet: config.passwords.length > 0,
      trusts,
      get transports() {
        return transportNames({ fastdp, wireguard: typeof wireguard.current !== "string", sleeve: true });
      },
      revoked: loadRevoked(store),
      restored,
    },
    {
      clock,
      random: systemRandom,
      log,
      counters,
      transport,
      paths: overlay,
      remember: (state) => saveMesh(store, state, { bootId, clock, log }),
      onRoutes: (routes) => {
        const self = routes.shortIds.get(name);
        invariant(self !== undefined, "the mesh's routes name our own short id");
        overlay.setRoutes(self, routes);
        parts.routesChanged(routes);
        log.debug("routes changed", { reachable: routes.unicast.size, trees: routes.trees.size });
      },
    },
  );
  owned.defer(() => mesh.stop("restarting"));
  return { mesh, transport, overlay, sleeve, wireguard };
}

/** The machine's resolver takes as long as it likes. */
function inTime<Result>(lookup: Promise<Result>, host: string): Promise<Result> {
  const late = Promise.withResolvers<never>();
  const timer = systemClock.after(LOOKUP_MS, () => late.reject(new Error(`lookup ${host}: the name server does not answer`)));
  return Promise.race([lookup, late.promise]).finally(() => timer[Symbol.dispose]());
}
