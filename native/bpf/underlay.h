// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// At the underlay device, before the stack: frames to relay get new outer addresses, frames for a known local port are unwrapped, without
// routing, UDP and the VXLAN device. A pure short cut: whatever is not plain here goes on to vx_ingress, which decides and counts.
// Such frames are not seen by the host's own packet filter; the check for the neighbour's address is the same as in vx_ingress.
#pragma once
#include "guard.h"
#include "send.h"

#ifdef SMALL
static __always_inline int at_underlay(struct __sk_buff *skb)
{
	return NEXT; // no bpf_redirect_neigh, no bpf_redirect_peer
}
#else

#define PACKET_HOST 0
#define DECAP_L3_IPV4 (1ULL << 7) // BPF_F_ADJ_ROOM_DECAP_*, linux/bpf.h since 6.3
#define DECAP_L3_IPV6 (1ULL << 8)
#define CLEAR_FRAGMENT bpf_htons(0x3fff)

struct outer {
	struct ip16 source;
	struct ip16 destination;
	__u32 bytes; // outer headers behind the Ethernet header, up to the inner frame
	__u32 vni;
	__u32 neighbour;
	__u32 ttl;
};

static __always_inline int read_vxlan(struct udphdr *udp, void *end, const struct settings *set, struct outer *outer)
{
	struct vxlan *vxlan = (void *)(udp + 1);
	struct ethhdr *inner = (void *)(vxlan + 1);
	if ((void *)(inner + 1) > end || udp->dest != bpf_htons(set->data_port) || udp->check ||
	    vxlan->flags != bpf_htonl(VXLAN_VALID_VNI))
		return -1;
	outer->vni = bpf_ntohl(vxlan->vni) >> 8;
	return 0;
}

static __always_inline int read_outer(struct __sk_buff *skb, const struct settings *set, struct outer *outer)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(ethernet + 1);
		if ((void *)(ip + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_UDP || ip->frag_off & CLEAR_FRAGMENT)
			return -1;
		map_ipv4(&outer->source, ip->saddr);
		map_ipv4(&outer->destination, ip->daddr);
		outer->ttl = ip->ttl;
		outer->bytes = sizeof(*ip) + sizeof(struct udphdr) + sizeof(struct vxlan);
		return read_vxlan((void *)(ip + 1), end, set, outer);
	}
	struct ipv6hdr *ip = (void *)(ethernet + 1);
	if ((void *)(ip + 1) > end || ip->nexthdr != IPPROTO_UDP)
		return -1;
	__builtin_memcpy(&outer->source, &ip->saddr, sizeof(outer->source));
	__builtin_memcpy(&outer->destination, &ip->daddr, sizeof(outer->destination));
	outer->ttl = ip->hop_limit;
	outer->bytes = sizeof(*ip) + sizeof(struct udphdr) + sizeof(struct vxlan);
	return read_vxlan((void *)(ip + 1), end, set, outer);
}

static __always_inline int is_same_address(const struct ip16 *a, const struct ip16 *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

static __always_inline __u16 ipv4_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int rewrite(struct __sk_buff *skb, const struct outer *outer, __u32 destination)
{
	__u32 neighbour = find_nexthop(destination);
	const struct endpoint *to = find_endpoint(neighbour);
	struct bpf_redir_neigh via = {};
	if (!to || !to->relay_ifindex || neighbour == outer->neighbour || outer->ttl <= 1)
		return NEXT;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + sizeof(struct ethhdr);
		if (!to->ipv4 || (void *)(ip + 1) > end)
			return NEXT;
		__builtin_memcpy(&ip->saddr, to->local.bytes + 12, 4);
		__builtin_memcpy(&ip->daddr, to->address.bytes + 12, 4);
		ip->ttl--;
		ip->check = 0;
		ip->check = ipv4_checksum(ip);
		via.nh_family = 2; // AF_INET
		__builtin_memcpy(&via.ipv4_nh, to->via.bytes + 12, 4);
	} else {
		struct ipv6hdr *ip = data + sizeof(struct ethhdr);
		if (to->ipv4 || (void *)(ip + 1) > end)
			return NEXT;
		__builtin_memcpy(&ip->saddr, &to->local, 16);
		__builtin_memcpy(&ip->daddr, &to->address, 16);
		ip->hop_limit--;
		via.nh_family = 10; // AF_INET6
		__builtin_memcpy(via.ipv6_nh, &to->via, 16);
	}
	count_from(outer->neighbour, skb->len - outer->bytes - ETH_HLEN);
	count_relayed(neighbour, skb->len - outer->bytes - ETH_HLEN);
	note(skb, EVENT_RELAYED_BY_REWRITE);
	return bpf_redirect_neigh(to->relay_ifindex, &via, sizeof(via), 0);
}

// Only towards an address of the port itself: a frame from a software underlay may still be marked as encapsulated (the stack would clear
// that), which matters to nobody but who forwards it further.
static __always_inline int is_for_port(const struct ethhdr *inner, void *end, __u32 ifindex)
{
	const struct port *port = bpf_map_lookup_elem(&ports, &ifindex);
	struct ip16 address;
	if (!port)
		return 0;
	if (inner->h_proto == bpf_htons(ETH_P_IP)) {
		const struct iphdr *ip = (const void *)(inner + 1);
		return (void *)(ip + 1) <= end && owns_ipv4(port, ifindex, ip->daddr);
	}
	const struct ipv6hdr *ip = (const void *)(inner + 1);
	if (inner->h_proto != bpf_htons(ETH_P_IPV6) || (void *)(ip + 1) > end)
		return 0;
	__builtin_memcpy(&address, &ip->daddr, sizeof(address));
	return owns(&address, ifindex);
}

static __always_inline int unwrap(struct __sk_buff *skb, const struct settings *set, const struct outer *outer)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *inner = data + sizeof(struct ethhdr) + sizeof(struct iphdr) + 16;
	__u32 source = outer->vni & (PEERS - 1);
	struct ethhdr header;
	if (skb->protocol != bpf_htons(ETH_P_IP))
		inner = data + sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + 16;
	if (!(set->flags & SETTING_DECAP) || (void *)(inner + 1) > end)
		return NEXT;
	__builtin_memcpy(&header, inner, sizeof(header));
	__u64 now = now_ns(), source_mac = read_mac(header.h_source);
	const struct mac_entry *to = find_mac(set, read_mac(header.h_dest), now);
	const struct mac_entry *of = bpf_map_lookup_elem(&macs, &source_mac);
	if (!to || !is_direct(to->location) || !(to->location & MAC_PEER_DEVICE) || !of ||
	    of->location != MAC_LOCATION(source, 0) || is_older(of->stamp, now, set->stamp_ns))
		return NEXT;
	__u64 location = to->location;
	if (!is_for_port(inner, end, location_ifindex(location)))
		return NEXT;
	__u64 flags = BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	if (header.h_proto != skb->protocol)
		flags |= header.h_proto == bpf_htons(ETH_P_IP) ? DECAP_L3_IPV4 : DECAP_L3_IPV6;
	if (bpf_skb_adjust_room(skb, -(__s32)(outer->bytes + sizeof(header)), BPF_ADJ_ROOM_MAC, flags))
		return NEXT;
	bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC); // what the device verified was the outer packet
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + sizeof(header) > end)
		return drop(skb, DROP_MALFORMED);
	__builtin_memcpy(data, &header, sizeof(header));
	count_from(outer->neighbour, skb->len);
	count_received(source, skb->len);
	note(skb, EVENT_UNWRAPPED);
	return deliver(skb, location);
}

static __always_inline int at_underlay(struct __sk_buff *skb)
{
	const struct settings *set = read_settings();
	struct outer outer;
	if (!set || skb->pkt_type != PACKET_HOST || read_outer(skb, set, &outer))
		return NEXT;
	__u32 source = outer.vni & (PEERS - 1), destination = outer.vni >> 12 & (PEERS - 1);
	int is_here = destination == set->self;
	// A super-packet keeps its tunnel flags if it is unwrapped here, so it goes the long way; it is one for many.
	if (destination == PEER_FLOOD || source == set->self || (is_here && skb->gso_size))
		return NEXT;
	const struct neighbour *from = bpf_map_lookup_elem(&neighbours, &outer.source);
	// A host that routes for others sees their packets here too.
	if (!from || from->flags & NEIGHBOUR_WIREGUARD || !is_same_address(&from->local, &outer.destination) || !find_nexthop(source))
		return NEXT;
	outer.neighbour = from->id;
	return is_here ? unwrap(skb, set, &outer) : rewrite(skb, &outer, destination);
}
#endif
