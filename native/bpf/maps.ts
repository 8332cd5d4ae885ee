// SPDX-License-Identifier: Apache-2.0
// What the daemon and the switch share: layouts, numbers and names of maps.h, checked against it by test/unit/host/datapath-layout.test.ts.
// Integers are in the machine's order (little-endian everywhere we run); addresses are 16 bytes in network order, IPv4 mapped.

/** Raised together with maps.h: another layout gets other maps. */
export const LAYOUT_VERSION = 3;
export const PEERS = 4096;
export const FANOUT = 256;
export const FANOUT_SMALL = 64;
export const PROBE_SLOTS = 8;
export const MAC_ENTRIES = 65_536;

/** Every map of the object; the names of the pins. */
export const MAP_NAMES = [
  "settings",
  "nexthops",
  "endpoints",
  "neighbours",
  "floods",
  "macs",
  "ports",
  "port_addresses",
  "port_subnets",
  "probes",
  "drops",
  "events",
  "peers",
] as const;
export type MapName = (typeof MAP_NAMES)[number];

/** Every program of the object. */
export const PROGRAM_NAMES = [
  "vx_egress",
  "vx_ingress",
  "veth_ingress",
  "veth_egress",
  "underlay_ingress",
  "wg_ingress",
  "sleeve_egress",
  "sleeve_ingress",
] as const;
export type ProgramName = (typeof PROGRAM_NAMES)[number];

/** Why a frame was dropped, in the order of enum drop_reason. Append only. */
export const DROP_REASONS = [
  "not-configured",
  "malformed",
  "no-tunnel-key",
  "unknown-neighbour",
  "unknown-peer",
  "own-source",
  "no-route",
  "ttl",
  "reverse-path",
  "return-path",
  "local-destination",
  "link-local-group",
  "send-failed",
  "probe-rate",
  "probe-forged",
  "unknown-port",
  "mac-limit",
  "source-mac",
  "source-ipv4",
  "source-ipv6",
  "source-arp",
  "source-nd",
  "router-advertisement",
  "nd-redirect",
  "dhcp-server",
  "dhcp6-server",
  "vlan-stack",
  "multicast-subnet",
  "not-encrypted",
  "sleeve-stranger",
  "tree-change",
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** What else is counted, in the order of enum event. Append only. */
export const EVENTS = ["mac-moved", "relayed", "relayed-by-rewrite", "probe-reflected", "pmtu-answer", "unwrapped"] as const;
export type SwitchEvent = (typeof EVENTS)[number];

/** struct settings */
export const SETTINGS = {
  size: 48,
  self: 0,
  vxlanIfindex: 4,
  flags: 8,
  ttl: 12,
  ageNs: 16,
  stampNs: 24,
  dataPort: 32,
  generation: 36,
  sleeveIfindex: 40,
} as const;
export const SETTING_FLAG = { BYPASS: 1, DECAP: 2 } as const;

/** struct endpoint */
export const ENDPOINT = {
  size: 64,
  address: 0,
  local: 16,
  via: 32,
  ipv4: 48,
  relayIfindex: 52,
  transport: 56,
  mtu: 60,
} as const;
export const TRANSPORT = { CLEAR: 0, WIREGUARD: 1, SLEEVE: 2 } as const;
/** struct neighbour */
export const NEIGHBOUR = { size: 24, id: 0, local: 4, flags: 20 } as const;
export const NEIGHBOUR_FLAG = { WIREGUARD: 1 } as const;
/** struct flood */
export const FLOOD = { size: 528, count: 0, parent: 2, hop: 4, since: 520 } as const;
/** struct mac_entry; `location` is ifindex (32 bits), peer (16), flags (16). The key is 8 bytes, the MAC first. */
export const MAC_ENTRY = { size: 16, ifindex: 0, peer: 4, flags: 6, stamp: 8 } as const;
/** struct port */
export const PORT = {
  size: 64,
  mac: 0,
  flags: 8,
  macLimit: 12,
  ipv4: 16,
  cachedMac: 32,
  cachedStamp: 40,
  period: 48,
  learned: 56,
  cachedGeneration: 60,
} as const;
export const PORT_FLAG = { GUARDED: 1, PEER_DEVICE: 2, BYPASS: 4, MORE_IPV4: 8 } as const;
export const PORT_IPV4_SLOTS = 4;
/** struct port_address */
export const PORT_ADDRESS = { size: 20, ifindex: 0, address: 4 } as const;
/** struct port_subnet; the prefix length counts the ifindex's 32 bits too. */
export const PORT_SUBNET = { size: 24, prefixLength: 0, ifindex: 4, address: 8 } as const;
/** struct count */
export const COUNT = { size: 16, packets: 0, bytes: 8 } as const;
/** struct peer_counts, four struct count */
export const PEER_COUNTS = { size: 64, received: 0, sent: 16, fromNeighbour: 32, toNeighbour: 48 } as const;
/** struct probe_state */
export const PROBE_STATE = { size: 208, answers: 0, window: 192, reflected: 200 } as const;
/** struct probe_answer */
export const PROBE_ANSWER = { size: 24, rttNs: 0, arrivedNs: 8, sequence: 16, bytes: 20 } as const;

/** struct sleeve_header, big-endian; the frame follows. */
export const SLEEVE_HEADER = {
  size: 14,
  ttlVni: 0,
  gsoSize: 4,
  neighbour: 6,
  vlanProtocol: 8,
  vlanTci: 10,
  ethertype: 12,
} as const;
export const SLEEVE_ETHERTYPE = 0x88b6;
export const SLEEVE_PRIORITY = 0x5753_0000;

/** A probe's frame, see maps.h. Big-endian. */
export const PROBE = { size: 22, magic: 0, kind: 5, sourceHead: 6, sequence: 8, ethertype: 12, sentNs: 14 } as const;
export const PROBE_MAGIC = 0x02777670;
export const PROBE_ETHERTYPE = 0x88b5;
export const PROBE_REQUEST = 1;
export const PROBE_REPLY = 2;
