// SPDX-License-Identifier: Apache-2.0
// Attribute numbers of links (linux/if_link.h, linux/veth.h), as far as we read or write them.

/** net/if.h */
export const IFF = { UP: 0x1, LOOPBACK: 0x8, RUNNING: 0x40 } as const;

export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  QDISC: 6,
  MASTER: 10,
  PROTINFO: 12,
  LINKINFO: 18,
  IFALIAS: 20,
  AF_SPEC: 26,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  LINK_NETNSID: 37,
} as const;
export const RTEXT_FILTER_SKIP_STATS = 8;

export const IFLA_INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;

export const IFLA_INET6_ADDR_GEN_MODE = 8;
export const IN6_ADDR_GEN_MODE_NONE = 1;

export const VETH_INFO_PEER = 1;

export const IFLA_BR = {
  STP_STATE: 5,
  VLAN_FILTERING: 7,
  MCAST_SNOOPING: 23,
  FDB_N_LEARNED: 48, // since Linux 6.7; older kernels skip it
  FDB_MAX_LEARNED: 49, // the same
} as const;

export const IFLA_BRPORT = {
  STATE: 1,
  MODE: 4, // hairpin
  LEARNING: 8,
  UNICAST_FLOOD: 9,
  MCAST_FLOOD: 27,
  BCAST_FLOOD: 30,
  NEIGH_SUPPRESS: 32,
  ISOLATED: 33,
} as const;

export const IFLA_VXLAN = {
  LEARNING: 7,
  PORT: 15, // network byte order
  UDP_ZERO_CSUM6_RX: 20,
  COLLECT_METADATA: 25,
} as const;
