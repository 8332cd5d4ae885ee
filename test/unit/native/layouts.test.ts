// SPDX-License-Identifier: Apache-2.0
// Structure layouts and constants of `native/` against the C headers of this machine.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ERRNO } from "../../../native/errno.ts";
import { TIMEX } from "../../../native/libc/clock.ts";
import { O, POLL, POLLFD, STATFS, STATX } from "../../../native/libc/fd.ts";
import { CMSGHDR, IOVEC, MMSGHDR } from "../../../native/libc/messages.ts";
import { ETHTOOL_FLAGS, ETHTOOL_VALUE, SIOCETHTOOL } from "../../../native/libc/offloads.ts";
import { VIRTIO_NET_HDR } from "../../../native/libc/packet-socket.ts";
import { EPOLL_EVENT } from "../../../native/libc/poll-set.ts";
import { CAP, CAP_DATA, CAP_HEADER, CLONE, PR } from "../../../native/libc/process.ts";
import { AF, SOCKADDR_IN, SOCKADDR_IN6, SOCKADDR_LL, SOCKADDR_NL, SOCKADDR_UN } from "../../../native/libc/sockaddr.ts";
import { MSG, SO, SOCK, SOL_SOCKET, TIMEVAL, UCRED } from "../../../native/libc/socket.ts";
import { IFREQ } from "../../../native/libc/tun.ts";
import { BPF_PROGRAM, DLT_EN10MB, PCAP_D, PCAP_ERRBUF_SIZE, PCAP_PKTHDR, PCAP_STAT } from "../../../native/libpcap/symbols.ts";
import { IFA, IFA_F, IFADDRMSG } from "../../../native/netlink/address.ts";
import { NLATTR, NLM_F, NLMSG, NLMSGHDR } from "../../../native/netlink/codec.ts";
import { NLMSGERR } from "../../../native/netlink/error.ts";
import * as ethtool from "../../../native/netlink/ethtool.ts";
import { GENLMSGHDR } from "../../../native/netlink/generic.ts";
import * as link from "../../../native/netlink/link-attributes.ts";
import { NFNLGRP, RTNLGRP, SK_MEMINFO } from "../../../native/netlink/monitor.ts";
import { NDA, NDMSG, NTF, NUD } from "../../../native/netlink/neighbour.ts";
import { NETCONFA_IFINDEX, NETCONFA_IFINDEX_ALL } from "../../../native/netlink/netconf.ts";
import * as nftables from "../../../native/netlink/nftables.ts";
import { TC_H_CLSACT, TC_H_ROOT, TCA_KIND, TCMSG } from "../../../native/netlink/qdisc.ts";
import { RTA, RTAX_MTU, RTMSG, RTN, RTNEXTHOP } from "../../../native/netlink/route.ts";
import { IFINFOMSG, RTM } from "../../../native/netlink/rtnetlink.ts";
import { FIB_RULE_HDR, FR_ACT, FRA } from "../../../native/netlink/rule.ts";
import {
  NETLINK_GENERIC,
  NETLINK_NETFILTER,
  NETLINK_NO_ENOBUFS,
  NETLINK_ROUTE,
  SOL_NETLINK,
} from "../../../native/netlink/socket.ts";
import * as wireguard from "../../../native/netlink/wireguard.ts";

const HEADERS = [
  "stddef.h",
  "stdio.h",
  "errno.h",
  "fcntl.h",
  "poll.h",
  "sys/epoll.h",
  "sched.h",
  "time.h",
  "sys/socket.h",
  "sys/stat.h",
  "sys/statfs.h",
  "sys/time.h",
  "sys/un.h",
  "sys/prctl.h",
  "netinet/in.h",
  "net/if.h",
  "linux/netlink.h",
  "linux/rtnetlink.h",
  "linux/genetlink.h",
  "linux/if_link.h",
  "linux/if_addr.h",
  "linux/netconf.h",
  "linux/neighbour.h",
  "linux/veth.h",
  "linux/pkt_sched.h",
  "linux/if_packet.h",
  "linux/capability.h",
  "linux/sock_diag.h",
  "linux/wireguard.h",
  "linux/fib_rules.h",
  "linux/time_types.h",
  "linux/virtio_net.h",
  "linux/ethtool.h",
  "linux/netfilter/nfnetlink.h",
  "linux/netfilter/nf_tables.h",
  "linux/ethtool_netlink.h",
  "linux/sockios.h",
  "sys/timex.h",
  "sys/uio.h",
];
const hasPcap = await compiles("#include <pcap/pcap.h>\nint main(void) { return 0; }");

/** C type -> our table, with the C name of each of its fields. */
const LAYOUTS: readonly (readonly [
  type: string,
  ours: Readonly<Record<string, number>>,
  fields: Readonly<Record<string, string>>,
])[] = [
  [
    "struct nlmsghdr",
    NLMSGHDR,
    { length: "nlmsg_len", type: "nlmsg_type", flags: "nlmsg_flags", sequence: "nlmsg_seq", port: "nlmsg_pid" },
  ],
  ["struct nlattr", NLATTR, { length: "nla_len", type: "nla_type" }],
  ["struct nlmsgerr", NLMSGERR, { error: "error", request: "msg" }],
  ["struct genlmsghdr", GENLMSGHDR, { command: "cmd", version: "version" }],
  [
    "struct ifinfomsg",
    IFINFOMSG,
    { family: "ifi_family", type: "ifi_type", index: "ifi_index", flags: "ifi_flags", change: "ifi_change" },
  ],
  [
    "struct ifaddrmsg",
    IFADDRMSG,
    { family: "ifa_family", prefixLength: "ifa_prefixlen", flags: "ifa_flags", scope: "ifa_scope", index: "ifa_index" },
  ],
  [
    "struct rtmsg",
    RTMSG,
    {
      family: "rtm_family",
      destinationLength: "rtm_dst_len",
      sourceLength: "rtm_src_len",
      tos: "rtm_tos",
      table: "rtm_table",
      protocol: "rtm_protocol",
      scope: "rtm_scope",
      type: "rtm_type",
      flags: "rtm_flags",
    },
  ],
  ["struct rtnexthop", RTNEXTHOP, { length: "rtnh_len", index: "rtnh_ifindex" }],
  [
    "struct ndmsg",
    NDMSG,
    { family: "ndm_family", index: "ndm_ifindex", state: "ndm_state", flags: "ndm_flags", type: "ndm_type" },
  ],
  [
    "struct tcmsg",
    TCMSG,
    { family: "tcm_family", index: "tcm_ifindex", handle: "tcm_handle", parent: "tcm_parent", info: "tcm_info" },
  ],
  ["struct sockaddr_in", SOCKADDR_IN, { port: "sin_port", address: "sin_addr" }],
  ["struct sockaddr_in6", SOCKADDR_IN6, { port: "sin6_port", address: "sin6_addr", scope: "sin6_scope_id" }],
  ["struct sockaddr_un", SOCKADDR_UN, { path: "sun_path" }],
  ["struct sockaddr_nl", SOCKADDR_NL, { pid: "nl_pid", groups: "nl_groups" }],
  [
    "struct sockaddr_ll",
    SOCKADDR_LL,
    { protocol: "sll_protocol", ifindex: "sll_ifindex", halen: "sll_halen", address: "sll_addr" },
  ],
  [
    "struct mmsghdr",
    MMSGHDR,
    {
      name: "msg_hdr.msg_name",
      nameLength: "msg_hdr.msg_namelen",
      iov: "msg_hdr.msg_iov",
      iovLength: "msg_hdr.msg_iovlen",
      control: "msg_hdr.msg_control",
      controlLength: "msg_hdr.msg_controllen",
      flags: "msg_hdr.msg_flags",
      length: "msg_len",
    },
  ],
  ["struct iovec", IOVEC, { base: "iov_base", length: "iov_len" }],
  ["struct cmsghdr", CMSGHDR, { length: "cmsg_len", level: "cmsg_level", type: "cmsg_type" }],
  [
    "struct virtio_net_hdr",
    VIRTIO_NET_HDR,
    {
      flags: "flags",
      gsoType: "gso_type",
      headerLength: "hdr_len",
      gsoSize: "gso_size",
      csumStart: "csum_start",
      csumOffset: "csum_offset",
    },
  ],
  ["struct ucred", UCRED, { pid: "pid", uid: "uid", gid: "gid" }],
  ["struct timeval", TIMEVAL, { seconds: "tv_sec", microseconds: "tv_usec" }],
  ["struct epoll_event", EPOLL_EVENT, { events: "events", data: "data" }],
  ["struct pollfd", POLLFD, { fd: "fd", events: "events", revents: "revents" }],
  ["struct statx", STATX, { mode: "stx_mode", ino: "stx_ino", devMajor: "stx_dev_major", devMinor: "stx_dev_minor" }],
  ["struct timex", TIMEX, { modes: "modes" }],
  ["struct ethtool_value", ETHTOOL_VALUE, { cmd: "cmd", data: "data" }],
  ["struct nfgenmsg", nftables.NFGENMSG, {}],
  ["struct statfs", STATFS, { type: "f_type" }],
  ["struct __user_cap_header_struct", CAP_HEADER, { version: "version", pid: "pid" }],
  ["struct __user_cap_data_struct", CAP_DATA, { effective: "effective", permitted: "permitted", inheritable: "inheritable" }],
  [
    "struct fib_rule_hdr",
    FIB_RULE_HDR,
    {
      family: "family",
      destinationLength: "dst_len",
      sourceLength: "src_len",
      tos: "tos",
      table: "table",
      action: "action",
      flags: "flags",
    },
  ],
  ["struct __kernel_timespec", wireguard.KERNEL_TIMESPEC, { seconds: "tv_sec", nanoseconds: "tv_nsec" }],
  ["struct ifreq", IFREQ, { name: "ifr_name", flags: "ifr_flags" }],
  ...(hasPcap
    ? ([
        [
          "struct pcap_pkthdr",
          PCAP_PKTHDR,
          { seconds: "ts.tv_sec", microseconds: "ts.tv_usec", captured: "caplen", length: "len" },
        ],
        ["struct bpf_program", BPF_PROGRAM, {}],
        ["struct pcap_stat", PCAP_STAT, { received: "ps_recv", dropped: "ps_drop" }],
      ] as const)
    : []),
];

/** C name -> our number. Names this machine's headers do not know are left out: they are newer than the headers. */
const CONSTANTS: Readonly<Record<string, number>> = {
  ...ERRNO,
  ...prefixed("AF_", AF),
  ...prefixed("SOCK_", SOCK),
  ...prefixed("MSG_", MSG),
  ...prefixed("SO_", SO),
  ...prefixed("O_", O),
  ...prefixed("POLL", POLL),
  ...prefixed("CLONE_", CLONE),
  ...prefixed("CAP_", CAP),
  ...prefixed("PR_", PR),
  SOL_SOCKET,
  SOL_NETLINK,
  NETLINK_ROUTE,
  NETLINK_GENERIC,
  NETLINK_NO_ENOBUFS,
  ...prefixed("NLM_F_", NLM_F),
  ...prefixed("NLMSG_", NLMSG),
  ...prefixed("RTM_", RTM),
  ...prefixed("FRA_", FRA),
  ...prefixed("FR_ACT_", FR_ACT),
  WG_KEY_LEN: wireguard.WG_KEY_LEN,
  ...prefixed("WGDEVICE_F_", wireguard.WGDEVICE_F),
  ...prefixed("WG_CMD_", wireguard.WG_CMD),
  SIOCETHTOOL,
  NETLINK_NETFILTER,
  NFNL_SUBSYS_NFTABLES: nftables.NFNL_SUBSYS_NFTABLES,
  ...prefixed("NFNLGRP_", NFNLGRP),
  ...prefixed("NFT_MSG_", nftables.NFT_MSG),
  NFTA_TABLE_NAME: nftables.NFTA_TABLE_NAME,
  NFTA_CHAIN_TABLE: nftables.NFTA_TABLE_NAME,
  NFTA_RULE_TABLE: nftables.NFTA_TABLE_NAME,
  ...prefixed("ETHTOOL_", ETHTOOL_FLAGS),
  ...prefixed("ETHTOOL_MSG_", ethtool.ETHTOOL_MSG),
  ...prefixed("ETHTOOL_A_HEADER_", ethtool.ETHTOOL_A_HEADER),
  ...prefixed("ETHTOOL_FLAG_", ethtool.ETHTOOL_FLAG),
  ...prefixed("ETHTOOL_A_FEATURES_", ethtool.ETHTOOL_A_FEATURES),
  ...prefixed("ETHTOOL_A_BITSET_", ethtool.ETHTOOL_A_BITSET),
  ...prefixed("ETHTOOL_A_BITSET_BITS_", ethtool.ETHTOOL_A_BITSET_BITS),
  ...prefixed("ETHTOOL_A_BITSET_BIT_", ethtool.ETHTOOL_A_BITSET_BIT),
  ...prefixed("WGDEVICE_A_", wireguard.WGDEVICE_A),
  ...prefixed("WGPEER_A_", wireguard.WGPEER_A),
  ...prefixed("WGPEER_F_", wireguard.WGPEER_F),
  ...prefixed("WGALLOWEDIP_A_", wireguard.WGALLOWEDIP_A),
  ...prefixed("RTNLGRP_", RTNLGRP),
  NETCONFA_IFINDEX,
  NETCONFA_IFINDEX_ALL,
  SK_MEMINFO_VARS: SK_MEMINFO.vars,
  SK_MEMINFO_DROPS: SK_MEMINFO.drops,
  ...prefixed("IFF_", link.IFF),
  ...prefixed("IFLA_", link.IFLA),
  ...prefixed("IFLA_INFO_", link.IFLA_INFO),
  ...prefixed("IFLA_BR_", link.IFLA_BR),
  ...prefixed("IFLA_BRPORT_", link.IFLA_BRPORT),
  ...prefixed("IFLA_VXLAN_", link.IFLA_VXLAN),
  RTEXT_FILTER_SKIP_STATS: link.RTEXT_FILTER_SKIP_STATS,
  IFLA_INET6_ADDR_GEN_MODE: link.IFLA_INET6_ADDR_GEN_MODE,
  IN6_ADDR_GEN_MODE_NONE: link.IN6_ADDR_GEN_MODE_NONE,
  VETH_INFO_PEER: link.VETH_INFO_PEER,
  ...prefixed("IFA_", IFA),
  ...prefixed("IFA_F_", IFA_F),
  ...prefixed("RTA_", RTA),
  ...prefixed("RTN_", RTN),
  RTAX_MTU,
  ...prefixed("NDA_", NDA),
  ...prefixed("NUD_", NUD),
  ...prefixed("NTF_", NTF),
  TCA_KIND,
  TC_H_ROOT,
  TC_H_CLSACT,
  ...(hasPcap ? { PCAP_ERRBUF_SIZE, DLT_EN10MB, PCAP_D_INOUT: PCAP_D.inout, PCAP_D_IN: PCAP_D.in, PCAP_D_OUT: PCAP_D.out } : {}),
};
// Newer than Debian 12's headers (Linux 6.1); the bridge test sets and reads them on the running kernel.
const NEWER_THAN_HEADERS = ["IFLA_BR_FDB_N_LEARNED", "IFLA_BR_FDB_MAX_LEARNED"];

describe.skipIf(Bun.which("cc") === null)("against the C headers (needs cc)", () => {
  test("structures have the compiler's sizes and offsets", async () => {
    const asked = LAYOUTS.flatMap(([type, ours, fields]) => [
      { name: `sizeof(${type})`, expected: ours["size"] ?? -1 },
      ...Object.entries(fields).map(([ourName, field]) => ({
        name: `offsetof(${type}, ${field})`,
        expected: ours[ourName] ?? -1,
      })),
    ]);
    expect(await valuesOf(asked.map(({ name }) => name))).toEqual(asked.map(({ expected }) => expected));
  });

  test("every field of a table is compared", () => {
    for (const [type, ours, fields] of LAYOUTS) {
      expect({ type, fields: Object.keys(ours).sort() }).toEqual({ type, fields: [...Object.keys(fields), "size"].sort() });
    }
  });

  test("constants have the headers' values", async () => {
    const names = Object.keys(CONSTANTS).filter((name) => !NEWER_THAN_HEADERS.includes(name));
    const values = await valuesOf(names.map((name) => `(unsigned)(${name})`));
    expect(Object.fromEntries(names.map((name, i) => [name, values[i]]))).toEqual(
      Object.fromEntries(names.map((name) => [name, CONSTANTS[name]])),
    );
  });

  test("the errno table has every number of the headers", async () => {
    const source = "#define _GNU_SOURCE\n#include <errno.h>\n";
    const child = Bun.spawn(["cc", "-E", "-dM", "-x", "c", "-"], { stdin: new Blob([source]), stdout: "pipe" });
    const defined = [...(await new Response(child.stdout).text()).matchAll(/^#define (E[A-Z0-9]+) \d+$/gm)].map(
      (match) => match[1],
    );
    expect(defined.length).toBeGreaterThan(100);
    expect(defined.filter((name) => name !== undefined && !(name in ERRNO))).toEqual([]);
  });
});

function prefixed(prefix: string, table: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [prefix + name, value]));
}

/** What the compiler makes of these constant expressions. */
async function valuesOf(expressions: readonly string[]): Promise<number[]> {
  const includes = [...HEADERS, ...(hasPcap ? ["pcap/pcap.h"] : [])].map((header) => `#include <${header}>`);
  const prints = expressions.map((expression) => `printf("%lu\\n", (unsigned long)${expression});`);
  const source = ["#define _GNU_SOURCE", ...includes, "int main(void) {", ...prints, "return 0; }"].join("\n");
  const output = await build(source, (program) => Bun.spawnSync([program]).stdout.toString());
  return output.trim().split("\n").map(Number);
}

async function compiles(source: string): Promise<boolean> {
  if (Bun.which("cc") === null) return false;
  try {
    return await build(source, () => true);
  } catch {
    return false; // that it does not compile is the answer
  }
}

async function build<Result>(source: string, use: (program: string) => Result): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), "wn-layout-"));
  try {
    const program = join(directory, "program");
    writeFileSync(`${program}.c`, source);
    const child = Bun.spawnSync(["cc", "-o", program, `${program}.c`]);
    if (child.exitCode !== 0) throw new Error(child.stderr.toString());
    return use(program);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
