// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Headers as the switch reads them.
#pragma once
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "tables.h"

#define MAC_BITS 0xffffffffffffULL
#define GROUP_BIT 1 // of the first byte, which is the lowest of the key

struct vlan_tag {
	__be16 tci;
	__be16 protocol; // of what follows
};

struct vxlan {
	__be32 flags;
	__be32 vni; // in the upper 24 bits
};
#define VXLAN_VALID_VNI 0x08000000

struct macs_of {
	__u64 destination;
	__u64 source;
};

static __always_inline __u64 read_mac(const __u8 *at)
{
	return (__u64)at[0] | (__u64)at[1] << 8 | (__u64)at[2] << 16 | (__u64)at[3] << 24 | (__u64)at[4] << 32 |
	       (__u64)at[5] << 40;
}

static __always_inline int read_macs(struct __sk_buff *skb, struct macs_of *macs)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	if ((void *)(ethernet + 1) > end)
		return -1;
	macs->destination = read_mac(ethernet->h_dest);
	macs->source = read_mac(ethernet->h_source);
	return 0;
}

static __always_inline int is_group(__u64 mac)
{
	return mac & GROUP_BIT;
}

// 01:80:c2:00:00:0X never leaves one link (IEEE 802.1D table 7-10): spanning tree, pause frames, LLDP, 802.1X.
static __always_inline int is_link_local_group(__u64 mac)
{
	return (mac & 0xf0ffffffffffULL) == 0x0000c28001ULL;
}

static __always_inline int is_vlan(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

static __always_inline void map_ipv4(struct ip16 *to, __be32 address)
{
	__u32 *words = (__u32 *)to;
	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = address;
}

// The kernel's own "too big" answers to a sender inside the overlay: ICMP 3/4 or ICMPv6 2.
static __always_inline int is_pmtu_answer(struct __sk_buff *skb)
{
	struct iphdr ipv4;
	__u8 kind[2];
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ipv4, sizeof(ipv4)) || ipv4.protocol != IPPROTO_ICMP)
			return 0;
		if (bpf_skb_load_bytes(skb, ETH_HLEN + ipv4.ihl * 4, kind, 2))
			return 0;
		return kind[0] == 3 && kind[1] == 4;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 6, kind, 1) || kind[0] != IPPROTO_ICMPV6)
			return 0;
		return !bpf_skb_load_bytes(skb, ETH_HLEN + 40, kind, 1) && kind[0] == 2;
	}
	return 0;
}
