// SPDX-License-Identifier: Apache-2.0
// The option table: every knob of the daemon once. Flags of `launch` and `daemon`, keys of launch.json and environment variables derive
// from it; `load.ts` says which of them wins.
import { type Cidr, formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { LogLevel } from "../runtime/log.ts";
import { formatInit, type IpallocInit, readAllocRange, readAllocRange6, readDefaultSubnet, readInit } from "./ipalloc.ts";
import { flagOption, integerOption, listOption, type Option, textOption } from "./option.ts";
import {
  formatListenAddress,
  type ListenAddress,
  readBridgeName,
  readDataDir,
  readDockerApi,
  readHost,
  readListenAddress,
  readLogLevel,
  readNickname,
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
  ipallocRange: textOption<Cidr | undefined>({
    flag: "ipalloc-range",
    hint: "CIDR",
    env: "IPALLOC_RANGE",
    default: undefined,
    defaultText: "10.32.0.0/12, or another that is free",
    doc: "addresses are chosen from this range, which is the same on all hosts; an empty text: none are chosen",
    read: readAllocRange,
    write: (range) => (range === undefined ? "auto" : range.prefixLength === 0 ? "" : formatCidr(range)),
  }),
  ipallocRange6: textOption<Cidr | undefined>({
    flag: "ipalloc-range6",
    hint: "CIDR",
    default: undefined,
    defaultText: "none",
    doc: "each address that is chosen gets an IPv6 twin in this range, such as fd00:32::/96; the same on all hosts",
    read: readAllocRange6,
    write: (range) => (range === undefined ? "" : formatCidr(range)),
  }),
  ipallocDefaultSubnet: textOption<Cidr | undefined>({
    flag: "ipalloc-default-subnet",
    hint: "CIDR",
    default: undefined,
    defaultText: "the whole range",
    doc: "addresses are chosen from this subnet when no other is asked for",
    read: readDefaultSubnet,
    write: (subnet) => (subnet === undefined ? "" : formatCidr(subnet)),
  }),
  ipallocInit: textOption<IpallocInit>({
    flag: "ipalloc-init",
    hint: "MODE",
    env: "IPALLOC_INIT",
    default: { by: "consensus", electors: undefined },
    defaultText: "consensus",
    doc: "how hosts first share the range out: consensus[=N], by most of N hosts (as many as there are peers here, and this one); seed=NAME,..., among these peers; observer, this host waits for the others",
    read: readInit,
    write: formatInit,
  }),
  ipallocTimeoutS: integerOption({
    flag: "ipalloc-timeout",
    hint: "SECONDS",
    min: 1,
    max: 110,
    default: 60,
    doc: "a request for an address that cannot be answered for so long is refused",
  }),
  reclaimAfterS: integerOption({
    flag: "reclaim-after",
    hint: "SECONDS",
    min: 30,
    max: 31_536_000,
    default: 0,
    zero: "never",
    defaultText: "0: never",
    doc: "the addresses of a peer that was away for so long are taken over by the others, if they are the larger part of the network",
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
