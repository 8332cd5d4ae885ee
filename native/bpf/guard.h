// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What a container may say: its own MAC, its own addresses, and nothing that only routers and DHCP servers say. VLAN tags are looked
// through, because receivers look through tags of VLAN 0. Unknown ethertypes pass with the right MAC.
#pragma once
#include "count.h"
#include "packet.h"

#define PASS (-1)
#define HEADERS 62 // Ethernet, two tags, IPv6: what has to be in the linear part

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP6_SERVER_PORT 547
#define IGMP 2
#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERT 134
#define ND_SOLICIT 135
#define ND_ADVERT 136
#define ND_REDIRECT 137
#define EXTENSION_HEADERS 8 // looked through at most

struct arp_ipv4 {
	__be16 hardware, protocol;
	__u8 hardware_length, protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_ip[4];
} __attribute__((packed));

static __always_inline int owns(const struct ip16 *address, __u32 ifindex)
{
	struct port_address key;
	key.ifindex = ifindex;
	__builtin_memcpy(&key.address, address, sizeof(key.address));
	return bpf_map_lookup_elem(&port_addresses, &key) != 0;
}

static __always_inline int owns_ipv4(const struct port *port, __u32 ifindex, __be32 address)
{
	struct ip16 mapped;
	if (address == port->ipv4[0] || address == port->ipv4[1] || address == port->ipv4[2] || address == port->ipv4[3])
		return 1;
	if (!(port->flags & PORT_MORE_IPV4))
		return 0;
	map_ipv4(&mapped, address);
	return owns(&mapped, ifindex);
}

static __always_inline int guard_arp(struct __sk_buff *skb, const struct port *port, __u32 at)
{
	struct arp_ipv4 arp;
	__be32 sender;
	if (bpf_skb_load_bytes(skb, at, &arp, sizeof(arp)))
		return DROP_MALFORMED;
	if (arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_length != 6 ||
	    arp.protocol_length != 4)
		return DROP_MALFORMED;
	__builtin_memcpy(&sender, arp.sender_ip, 4);
	if (read_mac(arp.sender_mac) != port->mac)
		return DROP_SOURCE_ARP;
	// A probe for an address not yet in use has sender 0 (RFC 5227).
	return !sender || owns_ipv4(port, skb->ifindex, sender) ? PASS : DROP_SOURCE_ARP;
}

static __always_inline int guard_ipv4(struct __sk_buff *skb, const struct port *port, __u32 at)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + at;
	__be16 udp[2] = {0, 0};
	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return DROP_MALFORMED;
	__be32 source = ip->saddr;
	__u8 protocol = ip->protocol;
	// The first 8 bytes of UDP are in the first fragment in any case.
	if (protocol == IPPROTO_UDP && !(ip->frag_off & bpf_htons(0x1fff))) {
		if (bpf_skb_load_bytes(skb, at + ip->ihl * 4, udp, sizeof(udp)))
			return DROP_MALFORMED;
		if (udp[0] == bpf_htons(DHCP_SERVER_PORT))
			return DROP_DHCP_SERVER;
	}
	if (source == 0) {
		int is_client = udp[0] == bpf_htons(DHCP_CLIENT_PORT) && udp[1] == bpf_htons(DHCP_SERVER_PORT);
		return is_client || protocol == IGMP ? PASS : DROP_SOURCE_IPV4;
	}
	return owns_ipv4(port, skb->ifindex, source) ? PASS : DROP_SOURCE_IPV4;
}

static __always_inline int is_link_local(const struct ip16 *address)
{
	return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

static __always_inline int is_unspecified(const struct ip16 *address)
{
	const __u32 *words = (const __u32 *)address;
	return !(words[0] | words[1] | words[2] | words[3]);
}

static __always_inline int guard_icmpv6(struct __sk_buff *skb, __u32 at, int from_nowhere, int fragmented)
{
	struct ip16 target;
	__u8 kind;
	if (bpf_skb_load_bytes(skb, at, &kind, 1))
		return DROP_MALFORMED;
	if (kind == ND_ROUTER_ADVERT)
		return DROP_ROUTER_ADVERTISEMENT;
	if (kind == ND_REDIRECT)
		return DROP_ND_REDIRECT;
	if (kind < ND_ROUTER_SOLICIT || kind > ND_REDIRECT)
		return PASS;
	if (fragmented) // nobody may, and it would hide the rest (RFC 6980)
		return DROP_SOURCE_ND;
	// A solicitation from :: says "I want this address" (duplicate detection), an advertisement "I have it".
	if (kind == ND_ROUTER_SOLICIT || (kind == ND_SOLICIT && !from_nowhere))
		return PASS;
	if (bpf_skb_load_bytes(skb, at + 8, &target, sizeof(target)))
		return DROP_MALFORMED;
	return is_link_local(&target) || owns(&target, skb->ifindex) ? PASS : DROP_SOURCE_ND;
}

static __always_inline int guard_ipv6(struct __sk_buff *skb, __u32 at)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + at;
	struct ip16 source;
	if ((void *)(ip + 1) > end || ip->version != 6)
		return DROP_MALFORMED;
	__builtin_memcpy(&source, &ip->saddr, sizeof(source));
	__u8 next = ip->nexthdr;
	int from_nowhere = is_unspecified(&source), fragmented = 0;
	if (!from_nowhere && !is_link_local(&source) && !owns(&source, skb->ifindex))
		return DROP_SOURCE_IPV6;
	at += sizeof(*ip);
	for (int i = 0; i < EXTENSION_HEADERS; i++) {
		__u8 header[4]; // next header, length, and of a fragment header the offset
		if (next == IPPROTO_ICMPV6)
			return guard_icmpv6(skb, at, from_nowhere, fragmented);
		if (next == IPPROTO_UDP) {
			__be16 port;
			if (bpf_skb_load_bytes(skb, at, &port, sizeof(port)))
				return DROP_MALFORMED;
			return port == bpf_htons(DHCP6_SERVER_PORT) ? DROP_DHCP6_SERVER : PASS;
		}
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_AH &&
		    next != IPPROTO_FRAGMENT)
			return PASS;
		if (bpf_skb_load_bytes(skb, at, header, sizeof(header)))
			return DROP_MALFORMED;
		if (next == IPPROTO_FRAGMENT) {
			// Without the first fragment, which passed here or did not, the others come to nothing.
			if (header[2] || header[3] & 0xf8)
				return PASS;
			fragmented = 1;
			at += 8;
		} else if (next == IPPROTO_AH) {
			at += (header[1] + 2) * 4;
		} else {
			at += (header[1] + 1) * 8;
		}
		next = header[0];
	}
	return DROP_MALFORMED; // a chain this long hides something (RFC 7113)
}

// PASS or a drop reason.
static __always_inline int guard(struct __sk_buff *skb, const struct port *port, __u64 source)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	__u32 at = sizeof(*ethernet);
	if ((void *)(ethernet + 1) > end)
		return DROP_MALFORMED;
	if (source != port->mac)
		return DROP_SOURCE_MAC;
	__be16 protocol = ethernet->h_proto;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		struct vlan_tag *tag = data + at;
		if (!is_vlan(protocol))
			break;
		if ((void *)(tag + 1) > end)
			return DROP_MALFORMED;
		protocol = tag->protocol;
		at += sizeof(*tag);
	}
	if (is_vlan(protocol))
		return DROP_VLAN_STACK;
	if (protocol == bpf_htons(ETH_P_IP))
		return guard_ipv4(skb, port, at);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return guard_ipv6(skb, at);
	return protocol == bpf_htons(ETH_P_ARP) ? guard_arp(skb, port, at) : PASS;
}

// IPv4 multicast reaches a container from its own subnets only.
static __always_inline int is_foreign_multicast(struct __sk_buff *skb)
{
	struct port_subnet key = {.prefix_length = 160, .ifindex = skb->ifindex};
	__be32 addresses[2];
	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN + 12, addresses, sizeof(addresses)))
		return 0;
	if ((addresses[1] & bpf_htonl(0xf0000000)) != bpf_htonl(0xe0000000) || !addresses[0])
		return 0;
	map_ipv4(&key.address, addresses[0]);
	return !bpf_map_lookup_elem(&port_subnets, &key);
}
