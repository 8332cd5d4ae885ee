// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What the daemon and the switch share: the layout of every map's key and value, the numbers of reasons and events. The same facts in
// TypeScript are maps.ts; a test compiles this file with a host compiler and compares. Numbers are append-only within one layout version;
// anything else here that changes meaning or size raises LAYOUT_VERSION, which gives the new switch new maps (src/host/datapath-pins.ts).
#pragma once
#include <linux/types.h>

#define LAYOUT_VERSION 3

#define PEERS 4096          // short ids are 12 bits
#define PEER_NONE 0         // also: local
#define PEER_FLOOD 0xfff    // as destination in a VNI: along the source's tree
#define FANOUT 256          // hops of one tree at one host; the small object walks the first 64
#define FANOUT_SMALL 64
#ifndef MAC_ENTRIES // tests of upgrades build with another
#define MAC_ENTRIES 65536
#endif
#define PORTS 16384
#define ADDRESSES 65536
#define NEIGHBOURS 4096
#define PROBE_SLOTS 8
#define DROP_SLOTS 64 // room for reasons to come, without another layout
#define EVENT_SLOTS 32

// VXLAN network identifier: source peer in the low 12 bits, destination peer in the high 12.
#define VNI(source, destination) ((source) | (destination) << 12)

struct ip16 {
	__u8 bytes[16]; // network order, IPv4 as ::ffff:a.b.c.d
};

// settings: array of one
struct settings {
	__u32 self; // own short id, 0: not configured yet
	__u32 vxlan_ifindex;
	__u32 flags; // SETTING_*
	__u32 ttl;   // of what starts here; bounds every loop
	__u64 age_ns;
	__u64 stamp_ns;
	__u32 data_port;
	__u32 generation; // raised when the daemon forgets a MAC, so that ports forget it too
	__u32 sleeve_ifindex; // the switch's end of the sleeve link, 0: there is none
	__u32 reserved;
};
#define SETTING_BYPASS 1 // known unicast skips the bridge
#define SETTING_DECAP 2  // known local unicast is unwrapped at the underlay device

// endpoint: hash, neighbour -> where it is, and how frames get there. A hash, because replacing an element is atomic for readers.
struct endpoint {
	struct ip16 address;
	struct ip16 local; // our address towards it, for relaying
	struct ip16 via;   // on-link next hop, for relaying without a route lookup
	__u32 ipv4;        // the address in host order, 0: it is IPv6
	__u32 relay_ifindex; // rewrite relayed frames out of this device, 0: do not
	__u32 transport; // TRANSPORT_*
	__u32 mtu; // largest IP packet inside, for the MSS of connections that start here; 0: leave it
};
#define TRANSPORT_CLEAR 0     // VXLAN to its underlay address
#define TRANSPORT_WIREGUARD 1 // VXLAN to its inside address
#define TRANSPORT_SLEEVE 2    // to the sleeve link; it has no address

// neighbour: hash, outer source address -> who it is
struct neighbour {
	__u32 id;
	struct ip16 local; // our address towards it: short cuts take only what is addressed to that
	__u32 flags; // NEIGHBOUR_*
};
#define NEIGHBOUR_WIREGUARD 1 // an inside address: only what came through WireGuard may have it

// flood: hash, source peer -> our place in its broadcast tree
struct flood {
	__u16 count;
	__u16 parent; // neighbour its frames come from, PEER_NONE at the source itself
	__u16 hop[FANOUT];
	__u64 since; // CLOCK_MONOTONIC ns from which on its frames are taken: a moment after the parent became another one
};

// macs: LRU hash, MAC (first byte lowest, upper 16 bits zero) -> where it is and when it was last heard
struct mac_entry {
	__u64 location; // MAC_LOCATION, one word so that a move is one store
	__u64 stamp;    // CLOCK_MONOTONIC ns, at most settings.stamp_ns behind
};
#define MAC_LOCATION(peer, ifindex) ((__u64)(peer) << 32 | (ifindex))
#define MAC_PEER_DEVICE (1ULL << 48) // its port is a veth: deliver straight to the other end
#define MAC_BRIDGED (1ULL << 49)     // its port gets everything over the bridge

// ports: hash, ifindex of a container's host-side link -> its policy and state
struct port {
	__u64 mac; // as the key of macs; 0: any
	__u32 flags; // PORT_*
	__u32 mac_limit; // new MACs per ageing period
	__be32 ipv4[4];  // the first addresses; more are in port_addresses
	__u64 cached_mac; // from here on written by the switch: the last source, and when it was stamped
	__u64 cached_stamp;
	__u64 period; // number of the ageing period `learned` counts in
	__u32 learned;
	__u32 cached_generation;
};
#define PORT_GUARDED 1
#define PORT_PEER_DEVICE 2 // a veth whose other end is in another namespace
#define PORT_BYPASS 4
#define PORT_MORE_IPV4 8 // port_addresses has IPv4 addresses that `ipv4` has no room for

// port_addresses: hash -> prefix length as the daemon knows it
struct port_address {
	__u32 ifindex;
	struct ip16 address;
};

// port_subnets: longest prefix match over ifindex and address
struct port_subnet {
	__u32 prefix_length; // bits of what follows
	__u32 ifindex;
	struct ip16 address;
};

// drops, events: per-CPU arrays, number -> count
struct count {
	__u64 packets;
	__u64 bytes;
};

// peers: per-CPU array, short id -> frames by end peer and by direct neighbour; the element PEER_FLOOD counts flooded ones
struct peer_counts {
	struct count received; // frames that started there
	struct count sent;     // frames that started here and end there
	struct count from_neighbour; // everything it handed to us
	struct count to_neighbour;   // everything we handed to it
};

// probes: hash, neighbour -> answers to our probes and the budget of its own
struct probe_answer {
	__u64 rtt_ns;
	__u64 arrived_ns; // CLOCK_MONOTONIC, 0: empty
	__u32 sequence;
	__u32 bytes; // inner frame
};
struct probe_state {
	struct probe_answer answers[PROBE_SLOTS]; // index: sequence % PROBE_SLOTS
	__u64 window; // current ms or so
	__u32 reflected; // probes reflected in it
	__u32 reserved;
};

// The sleeve link is a veth pair. What the switch hands over leaves the pair's other end behind this header (big-endian):
//  offset size field
//       0    1 ttl
//       1    3 vni
//       4    2 gso_size      bytes of payload in each segment, 0: no super-packet
//       6    2 neighbour     it is for
//       8    2 vlan_protocol of the first tag, which belongs behind the MACs, 0: none
//      10    2 vlan_tci
//      12    2 ethertype     0x88b6 (IEEE 802 local experimental 2)
//      14      the Ethernet frame; a TCP or UDP checksum in it may cover the pseudo-header only
// A frame that is no super-packet has to fit into four pages with it, about 16,000 bytes (bpf_skb_change_head).
// What the sleeve injects at the other end comes with MARK = VNI | ttl << 24 (SO_MARK) and, right behind the MACs, an 802.1Q tag whose
// identifier is the neighbour it came from.
struct sleeve_header {
	__be32 ttl_vni;
	__be16 gso_size;
	__be16 neighbour;
	__be16 vlan_protocol;
	__be16 vlan_tci;
	__be16 ethertype;
} __attribute__((packed));
#define SLEEVE_ETHERTYPE 0x88b6
// skb->priority of what goes to the sleeve link, with the neighbour in the low 12 bits. Its mark is as above.
#define SLEEVE_PRIORITY 0x57530000

// A probe is an Ethernet frame (all big-endian). Nobody but a daemon sends one: ports and the bridge are not let through with it.
//  offset size field
//       0    4 magic     02 77 76 70
//       4    1 reserved  0
//       5    1 kind      1 request, 2 reply
//       6    2 reserved  0x0200: a unicast, locally administered source
//       8    4 sequence
//      12    2 ethertype 0x88b5 (IEEE 802 local experimental 1)
//      14    8 sent      the sender's CLOCK_MONOTONIC in ns, returned as it is
//      22    n padding   returned as it is
#define PROBE_ETHERTYPE 0x88b5
#define PROBE_MAGIC 0x02777670
#define PROBE_REQUEST 1
#define PROBE_REPLY 2
#define PROBE_BYTES 22
#define PROBE_BUDGET 64 // reflected per neighbour and window

// Why a frame was dropped. The order of DROP_REASONS in maps.ts.
enum drop_reason {
	DROP_NOT_CONFIGURED,
	DROP_MALFORMED,
	DROP_NO_TUNNEL_KEY,
	DROP_UNKNOWN_NEIGHBOUR,
	DROP_UNKNOWN_PEER,
	DROP_OWN_SOURCE,
	DROP_NO_ROUTE,
	DROP_TTL,
	DROP_REVERSE_PATH,
	DROP_RETURN_PATH,
	DROP_LOCAL_DESTINATION,
	DROP_LINK_LOCAL_GROUP,
	DROP_SEND_FAILED,
	DROP_PROBE_RATE,
	DROP_PROBE_FORGED,
	DROP_UNKNOWN_PORT,
	DROP_MAC_LIMIT,
	DROP_SOURCE_MAC,
	DROP_SOURCE_IPV4,
	DROP_SOURCE_IPV6,
	DROP_SOURCE_ARP,
	DROP_SOURCE_ND,
	DROP_ROUTER_ADVERTISEMENT,
	DROP_ND_REDIRECT,
	DROP_DHCP_SERVER,
	DROP_DHCP6_SERVER,
	DROP_VLAN_STACK,
	DROP_MULTICAST_SUBNET,
	DROP_NOT_ENCRYPTED,
	DROP_SLEEVE_STRANGER,
	DROP_TREE_CHANGE,
	DROP_REASONS
};

// What else is worth counting. The order of EVENTS in maps.ts.
enum event {
	EVENT_MAC_MOVED,
	EVENT_RELAYED,
	EVENT_RELAYED_BY_REWRITE,
	EVENT_PROBE_REFLECTED,
	EVENT_PMTU_ANSWER,
	EVENT_UNWRAPPED,
	EVENTS
};
