// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The maximum segment size that a TCP connection asks for (RFC 9293 section 3.7.1), cut to what its path takes: a second line behind the
// interfaces' MTU, for containers with a larger one and hosts that disagree about it.
#pragma once
#include "packet.h"

#define TCP_FLAGS_AT 12 // data offset and flags, 2 bytes
#define TCP_CHECK_AT 16
#define TCP_OPTIONS_AT 20
#define TCP_SYN 0x0002
#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2

#ifdef SMALL
#define TCP_OPTIONS 12 // looked at; systems send it first
static __always_inline
#else
#define TCP_OPTIONS 37 // as many as find room before it and with it in 40 bytes
__attribute__((noinline))
#endif
int clamp_syn(struct __sk_buff *skb, __u32 tcp_at, __u32 limit)
{
	__u32 at = tcp_at + TCP_OPTIONS_AT;
	__be16 offset;
	if (!skb || bpf_skb_load_bytes(skb, tcp_at + TCP_FLAGS_AT, &offset, 2))
		return 0;
	__u32 end = tcp_at + (bpf_ntohs(offset) >> 12) * 4;
	for (int i = 0; i < TCP_OPTIONS; i++) {
		__u8 option[4];
		if (at + sizeof(option) > end || bpf_skb_load_bytes(skb, at, option, sizeof(option)))
			return 0;
		if (option[0] == TCP_OPTION_END)
			return 0;
		if (option[0] == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (option[0] == TCP_OPTION_MSS) {
			__u16 before = option[2] << 8 | option[3], after = limit;
			__be16 size = bpf_htons(after);
			if (option[1] != sizeof(option) || before <= after)
				return 0;
			// The checksum is over words from the header's beginning on. At an odd place this one lies across two of them.
			if ((at - tcp_at) & 1)
				bpf_l4_csum_replace(skb, tcp_at + TCP_CHECK_AT, before, after, sizeof(size));
			else
				bpf_l4_csum_replace(skb, tcp_at + TCP_CHECK_AT, bpf_htons(before), size, sizeof(size));
			bpf_skb_store_bytes(skb, at + 2, &size, sizeof(size), 0);
			return 0;
		}
		if (option[1] < 2)
			return 0;
		at += option[1];
	}
	return 0;
}

// `mtu` is that of the path. Costs a frame that begins no connection a few comparisons. IP options and extension headers are left alone.
static __always_inline void clamp_mss(struct __sk_buff *skb, __u32 mtu)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	__u32 ip_bytes;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(ethernet + 1);
		if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_TCP || ip->ihl != 5)
			return;
		ip_bytes = sizeof(*ip);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(ethernet + 1);
		if ((void *)(ip + 1) > end || ip->nexthdr != IPPROTO_TCP)
			return;
		ip_bytes = sizeof(*ip);
	} else {
		return;
	}
	__be16 *flags = data + sizeof(*ethernet) + ip_bytes + TCP_FLAGS_AT;
	if ((void *)(flags + 1) > end || !(*flags & bpf_htons(TCP_SYN)) || mtu <= ip_bytes + TCP_OPTIONS_AT)
		return;
	clamp_syn(skb, sizeof(*ethernet) + ip_bytes, mtu - ip_bytes - TCP_OPTIONS_AT);
}
