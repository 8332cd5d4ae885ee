// SPDX-License-Identifier: Apache-2.0
// The use cases of containers and of the host's own addresses, joined to this machine's edges.
import { existsSync } from "node:fs";
import { Attacher } from "../attach/attacher.ts";
import { JoinedBridges, type JoinedBridgesPorts } from "../attach/joined-bridges.ts";
import type { Addresses, ContainerNames, ContainerRuntime, Plumber, SwitchPorts } from "../attach/ports.ts";
import { Runtimes } from "../attach/runtimes.ts";
import { DockerClient } from "../docker/client.ts";
import { parseDockerEndpoint } from "../docker/endpoint.ts";
import { Exposer } from "../expose/exposer.ts";
import { HostBridgeJoints } from "../host/bridge-joint.ts";
import { Containerd } from "../host/containerd.ts";
import { Machines } from "../host/machines.ts";
import { NftFirewall } from "../host/nft.ts";
import { HostPlumber } from "../host/plumber.ts";
import type { HostBridge } from "../host/plumber-bridge.ts";
import { hostsFile } from "../host/plumber-hosts-file.ts";
import { HostNamespaces } from "../host/plumber-namespaces.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { Store } from "../store/store.ts";
import type { KernelPlane } from "./kernel-plane.ts";

export interface AttachmentParts extends Disposable {
  readonly attacher: Attacher;
  readonly exposer: Exposer;
  readonly bridges: JoinedBridges;
  /** undefined: this daemon runs without Docker. */
  readonly docker: DockerClient | undefined;
  readonly runtime: ContainerRuntime;
  readonly plumber: Plumber;
  readonly switchPorts: SwitchPorts;
}
export interface AttachmentOptions {
  readonly bridge: string;
  readonly hostName: string;
  readonly bootId: string;
  /** undefined: run without Docker. */
  readonly docker: DockerClient | undefined;
}

export function createAttachments(
  options: AttachmentOptions,
  ports: {
    readonly store: Store;
    readonly kernel: KernelPlane;
    readonly names: ContainerNames;
    readonly clock: Clock;
    readonly log: Log;
    readonly bridge: HostBridge;
    readonly addresses: Addresses;
  },
): AttachmentParts {
  const { store, kernel, clock, log, bridge, addresses } = ports;
  using undo = new DisposableStack();
  const namespaces = new HostNamespaces();
  const plumber = undo.use(new HostPlumber({ bridge: options.bridge, namespaces, log }));
  const firewall = undo.use(new NftFirewall());
  const { docker } = options;
  const runtime = new Runtimes([...(docker ? [docker] : []), podman(docker), new Machines(), new Containerd()]);
  const switches = switchPorts(kernel);
  const attacher: Attacher = new Attacher(options, {
    journal: store.attachments,
    plumber,
    switchPorts: switches,
    namespaces,
    runtime,
    addresses,
    hostRoutes: bridge,
    hostsFile,
    names: ports.names,
    isExposed: (ip) => exposer.holds(ip),
    clock,
    log,
  });
  const exposer = new Exposer({
    journal: store.exposures,
    bridge,
    firewall,
    hostRoutes: bridge,
    addresses,
    holderOf: (ip) => attacher.holderOf(ip),
    log,
  });
  const bridges = new JoinedBridges({
    journal: joinedBridges(store),
    joints: new HostBridgeJoints(kernel.links, options.bridge, options.hostName),
    switchPorts: switches,
    log,
  });
  const owned = undo.move();
  return {
    attacher,
    exposer,
    bridges,
    docker,
    runtime,
    plumber,
    switchPorts: switches,
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** The switch is asked anew each time: it is replaced when its devices are made anew. */
function switchPorts(kernel: KernelPlane): SwitchPorts {
  return {
    attachPort: (ifindex, guard) => kernel.datapath.attachPort(ifindex, guard),
    detachPort: (ifindex) => kernel.datapath.detachPort(ifindex),
  };
}

/** A name of an interface has no space in it. */
function joinedBridges({ settings }: Store): JoinedBridgesPorts["journal"] {
  const KEY = "joined-bridges";
  return {
    bridges: () => settings.get(KEY)?.split(" ") ?? [],
    setBridges: (names) => (names.length === 0 ? settings.remove(KEY) : settings.set(KEY, names.join(" "))),
  };
}

const PODMAN_SOCKET = "/run/podman/podman.sock";

/** Podman's socket beside Docker's; not being there is nothing to tell. */
function podman(docker: DockerClient | undefined): ContainerRuntime {
  const client = new DockerClient(parseDockerEndpoint(PODMAN_SOCKET));
  const isWanted = (): boolean => docker?.endpoint.text !== client.endpoint.text && existsSync(PODMAN_SOCKET);
  return { inspect: async (word) => (isWanted() ? await client.inspect(word) : undefined) };
}
