// SPDX-License-Identifier: Apache-2.0
// The command table. A command's file is loaded when it is called, so that none waits for the others.
import type { Command } from "./command.ts";
import { EXIT } from "./context.ts";

export interface Entry {
  /** For the list of `weave help`; the command's own help begins with it too. */
  readonly summary: string;
  load(): Promise<Command>;
}

export const COMMANDS: Readonly<Record<string, Entry>> = {
  launch: {
    summary: "start weave on this host and connect it to peers",
    load: async () => (await import("./launch.ts")).launch,
  },
  stop: { summary: "end the daemon; the network goes on forwarding", load: async () => (await import("./stop.ts")).stop },
  reset: { summary: "remove everything of weave from this host", load: async () => (await import("./reset.ts")).reset },
  connect: { summary: "connect to further peers", load: async () => (await import("./connect.ts")).connect },
  forget: { summary: "no longer try to connect to peers", load: async () => (await import("./forget.ts")).forget },
  attach: {
    summary: "give a container, namespace or VM an interface on the network",
    load: async () => (await import("./attach.ts")).attach,
  },
  detach: { summary: "take addresses, or all, from it again", load: async () => (await import("./detach.ts")).detach },
  "attach-bridge": {
    summary: "join another bridge of this host to the network",
    load: async () => (await import("./attach-bridge.ts")).attachBridge,
  },
  expose: { summary: "give this host itself addresses on the network", load: async () => (await import("./expose.ts")).expose },
  hide: { summary: "take addresses from this host again", load: async () => (await import("./hide.ts")).hide },
  prime: { summary: "wait until addresses can be allocated", load: async () => (await import("./prime.ts")).prime },
  ps: { summary: "list what is attached on this host", load: async () => (await import("./ps.ts")).ps },
  status: { summary: "show how the network is doing", load: async () => (await import("./status.ts")).status },
  report: {
    summary: "print everything as JSON, or through a Go template",
    load: async () => (await import("./report.ts")).report,
  },
  doctor: { summary: "examine this host and say what to mend", load: async () => (await import("./doctor.ts")).doctor },
  reload: {
    summary: "take over changes of weave.toml without a restart",
    load: async () => (await import("./reload.ts")).reload,
  },
  ping: { summary: "measure every path to a peer", load: async () => (await import("./ping.ts")).ping },
  password: {
    summary: "change the passwords that are valid, without a cut",
    load: async () => (await import("./password.ts")).password,
  },
  "dns-add": { summary: "make addresses known by a name", load: async () => (await import("./dns-add.ts")).dnsAdd },
  "dns-remove": { summary: "take names back", load: async () => (await import("./dns-remove.ts")).dnsRemove },
  "dns-lookup": { summary: "ask this host's name server", load: async () => (await import("./dns-lookup.ts")).dnsLookup },
  "dns-args": {
    summary: "print what makes 'docker run' use the name server",
    load: async () => (await import("./dns-args.ts")).dnsArgs,
  },
  env: { summary: "print what makes Docker's clients use the proxy", load: async () => (await import("./env.ts")).env },
  config: { summary: "print the same as an option of docker", load: async () => (await import("./config.ts")).config },
  run: { summary: "start a container on the network", load: async () => (await import("./run-container.ts")).run },
  start: { summary: "start a stopped container and attach it", load: async () => (await import("./start.ts")).start },
  restart: {
    summary: "restart a container with the addresses it has",
    load: async () => (await import("./restart.ts")).restart,
  },
  "docker-bridge-ip": {
    summary: "print the address of Docker's bridge",
    load: async () => (await import("./docker-bridge-ip.ts")).dockerBridgeIp,
  },
  "docker-tls-args": {
    summary: "print the TLS flags of the Docker daemon of this host",
    load: async () => (await import("./docker-tls-args.ts")).dockerTlsArgs,
  },
  "docker-plugin": {
    summary: "make the plugin by which services of a Docker swarm use the network",
    load: async () => (await import("./docker-plugin.ts")).dockerPlugin,
  },
  rmpeer: { summary: "remove peers that will not come back", load: async () => (await import("./rmpeer.ts")).rmpeer },
  version: { summary: "print the version", load: async () => (await import("./version.ts")).version },
  daemon: { summary: "run in the foreground, as the service does", load: async () => (await import("./daemon.ts")).daemon },
  help: { summary: "print this list, or the help of a command", load: async () => (await import("./help-command.ts")).help },
};

/** Known from Weave Net and removed there already. */
export const REMOVED: Readonly<Record<string, string>> = {
  "launch-router": "weave launch",
  "stop-router": "weave stop",
  "launch-proxy": "weave launch",
  "stop-proxy": "weave stop",
  "launch-plugin": "weave launch",
  "stop-plugin": "weave stop",
  "launch-dns": "weave launch",
  "stop-dns": "weave stop",
  "proxy-env": "weave env",
  "proxy-config": "weave config",
  "create-bridge": "weave launch",
};

/** Commands of Weave Net that belong to services this build does not have, with the exit code they had when the service was off. */
export const NOT_YET: Readonly<Record<string, { readonly service: string; readonly exit: number }>> = {
  setup: { service: "the CNI plugin", exit: EXIT.failed },
  "setup-cni": { service: "the CNI plugin", exit: EXIT.failed },
};
