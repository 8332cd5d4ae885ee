// SPDX-License-Identifier: Apache-2.0
// The option table: every knob of the daemon once. Flags of `launch` and `daemon`, keys of launch.json and environment variables derive
// from it; `load.ts` says which of them wins.
import { type Cidr, formatCidr } from "../net/cidr.ts";
import { formatIpPort } from "../net/endpoint.ts";
import type { Ip } from "../net/ip.ts";
import type { LogLevel } from "../runtime/log.ts";
import { flagOption, integerOption, listOption, type Option, textOption } from "./option.ts";
import {
  type DnsListenAddress,
  formatListenAddress,
  type ListenAddress,
  readBridgeName,
  readDataDir,
  readDnsListenAddress,
  readDockerApi,
  readDomain,
  readDuration,
  readHost,
  readListenAddress,
  readLogLevel,
  readNickname,
  readPath,
  readPeerName,
  readTrustedSubnet,
} from "./values.ts";

export const DEFAULT_PORT = 6783;

export const OPTIONS = {
  name: textOption<string | undefined>({
    flag: "name",
    hint: "MAC",
    default: undefined,
    defaultText: "from the host's key",
    doc: "peer name of this host, six bytes like a MAC, unique in the network",
    read: readPeerName,
    write: (name) => name ?? "",
  }),
  nickname: textOption<string>({
    flag: "nickname",
    hint: "WORD",
    default: "",
    defaultText: "the host name",
    doc: "name of this host for people",
    read: readNickname,
  }),
  passwords: listOption<string>({
    flag: "password",
    hint: "TEXT",
    env: "WEAVE_PASSWORD",
    secret: true,
    doc: "only hosts with the same password may connect, and data is encrypted; given again: further ones that are accepted; 'weave password' changes them later",
    read: (text) => text,
  }),
  trustedSubnets: listOption<Cidr>({
    flag: "trusted-subnets",
    hint: "CIDR,...",
    split: /,/,
    doc: "networks between which data need not be encrypted although a password is set; both ends must list the other",
    read: readTrustedSubnet,
    write: formatCidr,
  }),
  host: textOption<Ip | undefined>({
    flag: "host",
    hint: "IP",
    default: undefined,
    defaultText: "all addresses",
    doc: "address to listen on for other hosts",
    read: readHost,
    write: (host) => host ?? "",
  }),
  port: integerOption({
    flag: "port",
    env: "WEAVE_PORT",
    min: 1,
    max: 65_533, // the fast datapath and WireGuard take the next two
    default: DEFAULT_PORT,
    doc: "TCP port of control connections and UDP port of sleeve; UDP port+1 carries the fast datapath, port+2 WireGuard; the same on all hosts",
  }),
  noDiscovery: flagOption({ flag: "no-discovery", doc: "connect only to the peers given, not to those they know" }),
  connLimit: integerOption({
    flag: "conn-limit",
    min: 1,
    max: 100_000,
    default: 200,
    zero: "no limit",
    doc: "most connections to other hosts at one time",
  }),
  mtuBytes: integerOption({
    flag: "mtu",
    env: "WEAVE_MTU",
    hint: "BYTES",
    min: 576,
    max: 65_535,
    default: 0,
    zero: "automatic",
    defaultText: "0: what every path over this host's links carries",
    doc: "largest packet of a container",
  }),
  noFastdp: flagOption({
    flag: "no-fastdp",
    env: "WEAVE_NO_FASTDP",
    doc: "never use the fast datapath, in clear or in WireGuard; sleeve carries everything",
  }),
  logLevel: textOption<LogLevel>({
    flag: "log-level",
    hint: "LEVEL",
    default: "info",
    doc: "debug, info, warning or error",
    read: readLogLevel,
  }),
  dataDir: textOption<string>({
    flag: "data-dir",
    hint: "PATH",
    env: "WEAVE_DATA_DIR",
    default: "/var/lib/weave",
    doc: "where the host's key, its state and the options of launch are kept",
    read: readDataDir,
  }),
  httpAddr: textOption<ListenAddress | null>({
    flag: "http-addr",
    hint: "ADDR",
    env: "WEAVE_HTTP_ADDR",
    default: null,
    defaultText: "off",
    doc: "also serve the whole API here; it has no authentication",
    read: readListenAddress("http-addr"),
    write: formatListenAddress,
  }),
  statusAddr: textOption<ListenAddress | null>({
    flag: "status-addr",
    hint: "ADDR",
    env: "WEAVE_STATUS_ADDR",
    emptyEnvCounts: true,
    default: { kind: "tcp", host: "127.0.0.1", port: 6782 },
    defaultText: "127.0.0.1:6782",
    doc: "serve status, report and metrics here, read-only; 'off' for not at all",
    read: readListenAddress("status-addr"),
    write: formatListenAddress,
  }),
  resume: flagOption({ flag: "resume", doc: "connect to the peers of the last time" }),
  dockerApi: textOption<string>({
    flag: "docker-api",
    hint: "ENDPOINT",
    env: "DOCKER_HOST",
    default: "unix:///var/run/docker.sock",
    doc: "where Docker or what speaks like it listens; an empty text: run without",
    read: readDockerApi,
  }),
  noDns: flagOption({ flag: "no-dns", doc: "no name server on this host, and no names of its containers" }),
  dnsDomain: textOption<string>({
    flag: "dns-domain",
    hint: "NAME",
    default: "weave.local.",
    doc: "domain of the names; the same on all hosts",
    read: readDomain,
  }),
  dnsListenAddress: textOption<DnsListenAddress | undefined>({
    flag: "dns-listen-address",
    hint: "IP:PORT",
    default: undefined,
    defaultText: "port 53 of the Docker bridge, or without one of 127.0.0.83",
    doc: "where to answer names, for containers of this host and the host itself",
    read: readDnsListenAddress,
    write: (listen) => (listen ? formatIpPort(listen.host, listen.port) : ""),
  }),
  dnsTtlSeconds: integerOption({
    flag: "dns-ttl",
    hint: "SECONDS",
    min: 0,
    max: 86_400,
    default: 1,
    doc: "how long others may remember an answer",
  }),
  dnsFallbackTimeoutMs: textOption<number>({
    flag: "dns-fallback-timeout",
    hint: "TIME",
    default: 5_000,
    defaultText: "5s",
    doc: "how long to wait for another name server before the next is asked",
    read: readDuration("dns-fallback-timeout", 60_000),
    write: (ms) => `${ms}ms`,
  }),
  resolvConf: textOption<string>({
    flag: "resolv-conf",
    hint: "PATH",
    default: "/etc/resolv.conf",
    doc: "names the servers that are asked for all other names; followed when it changes",
    read: readPath("resolv-conf"),
  }),
  dockerBridge: textOption<string>({
    flag: "docker-bridge",
    hint: "NAME",
    env: "DOCKER_BRIDGE",
    default: "docker0",
    doc: "name of Docker's bridge, whose containers are served names",
    read: readBridgeName,
  }),
  weaveBridge: textOption<string>({
    flag: "weave-bridge",
    hint: "NAME",
    default: "weave",
    doc: "name of the bridge",
    read: readBridgeName,
  }),
} as const;

export type OptionKey = keyof typeof OPTIONS;
export type Options = {
  readonly [Key in OptionKey]: (typeof OPTIONS)[Key] extends Option<infer Value> ? Value : never;
};

export const OPTION_KEYS = Object.keys(OPTIONS) as readonly OptionKey[]; // exactly the keys of the literal above
