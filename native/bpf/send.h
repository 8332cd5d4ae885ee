// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Handing a frame to a neighbour (tunnel key, then the VXLAN device) or to a local port.
#pragma once
#include "count.h"
#include "learn.h"
#include "mss.h"

// On an skb that goes to the VXLAN device: the key is set, do not decide again. Containers cannot send it: leaving a namespace clears marks.
#define MARK_KEYED 0x77657631
// It came by the sleeve and is for the bridge: let it in.
#define MARK_DELIVER 0x77657632
// It came through WireGuard.
#define MARK_WIREGUARD 0x77657633

// Up to here old kernels know the structure.
#define KEY_BYTES __builtin_offsetof(struct bpf_tunnel_key, local_ipv4)

static __always_inline const struct endpoint *find_endpoint(__u32 neighbour)
{
	return neighbour ? bpf_map_lookup_elem(&endpoints, &neighbour) : 0;
}

static __always_inline __u32 find_nexthop(__u32 peer)
{
	__u32 key = peer & (PEERS - 1);
	__u32 *neighbour = bpf_map_lookup_elem(&nexthops, &key);
	return neighbour ? *neighbour : PEER_NONE;
}

// The outer UDP checksum is zero in both families (RFC 6935, 6936), so that a relay may rewrite addresses.
static __always_inline long set_key(struct __sk_buff *skb, const struct endpoint *to, __u32 vni, __u32 ttl, __u64 flags)
{
	struct bpf_tunnel_key key;
	__builtin_memset(&key, 0, sizeof(key));
	key.tunnel_id = vni;
	key.tunnel_ttl = ttl;
	if (to->ipv4) {
		key.remote_ipv4 = to->ipv4;
	} else {
		__builtin_memcpy(key.remote_ipv6, &to->address, sizeof(key.remote_ipv6));
		flags |= BPF_F_TUNINFO_IPV6;
	}
	return bpf_skb_set_tunnel_key(skb, &key, KEY_BYTES, flags | BPF_F_ZERO_CSUM_TX);
}

static __always_inline int to_vxlan(struct __sk_buff *skb, const struct settings *set)
{
	skb->mark = MARK_KEYED;
	return bpf_redirect(set->vxlan_ifindex, 0);
}

static __always_inline void mark_for_sleeve(struct __sk_buff *skb, __u32 vni, __u32 neighbour, __u32 ttl)
{
	skb->mark = vni | ttl << 24;
	skb->priority = SLEEVE_PRIORITY | neighbour;
}

static __always_inline int to_sleeve(struct __sk_buff *skb, const struct settings *set, __u32 vni, __u32 neighbour, __u32 ttl)
{
	if (!set->sleeve_ifindex)
		return drop(skb, DROP_NO_ROUTE);
	mark_for_sleeve(skb, vni, neighbour, ttl);
	return bpf_redirect(set->sleeve_ifindex, 0);
}

enum place {
	AT_VXLAN, // leaving by the VXLAN device: with a key the frame may go on
	ELSEWHERE,
};

static __always_inline int hand_over(struct __sk_buff *skb, const struct settings *set, const struct endpoint *to, __u32 vni,
				     __u32 neighbour, __u32 ttl, enum place place)
{
	if (to->transport == TRANSPORT_SLEEVE)
		return to_sleeve(skb, set, vni, neighbour, ttl);
	if (set_key(skb, to, vni, ttl, 0))
		return drop(skb, DROP_SEND_FAILED);
	return place == AT_VXLAN ? NEXT : to_vxlan(skb, set);
}

// A frame that starts here, to the peer it ends at.
static __always_inline int send_unicast(struct __sk_buff *skb, const struct settings *set, __u32 peer, enum place place)
{
	__u32 neighbour = find_nexthop(peer);
	const struct endpoint *to = find_endpoint(neighbour);
	if (!to)
		return drop(skb, DROP_NO_ROUTE);
	count_sent(peer, neighbour, skb->len);
	if (to->mtu)
		clamp_mss(skb, to->mtu);
	return hand_over(skb, set, to, VNI(set->self, peer), neighbour, set->ttl, place);
}

// One more hop for a frame of others.
static __always_inline int send_on(struct __sk_buff *skb, const struct settings *set, __u32 vni, __u32 neighbour, __u32 ttl)
{
	const struct endpoint *to = find_endpoint(neighbour);
	if (!to)
		return drop(skb, DROP_NO_ROUTE);
	count_relayed(neighbour, skb->len);
	return hand_over(skb, set, to, vni, neighbour, ttl, ELSEWHERE);
}

// One copy along a tree. As a global function it is verified once, not once per hop; kernels before 5.6 get it inlined, and fewer hops.
#ifdef SMALL
#define HOPS FANOUT_SMALL
static __always_inline
#else
#define HOPS FANOUT
__attribute__((noinline))
#endif
int send_copy(struct __sk_buff *skb, __u32 vni, __u32 neighbour, __u32 ttl)
{
	__u32 zero = 0;
	const struct settings *set = bpf_map_lookup_elem(&settings, &zero);
	const struct endpoint *to = find_endpoint(neighbour);
	if (!set || !to)
		return drop(skb, DROP_NO_ROUTE);
	count_relayed(neighbour, skb->len);
	if (to->transport == TRANSPORT_SLEEVE) {
		mark_for_sleeve(skb, vni, neighbour, ttl);
		if (!set->sleeve_ifindex || bpf_clone_redirect(skb, set->sleeve_ifindex, 0))
			drop(skb, DROP_SEND_FAILED);
		skb->mark = MARK_KEYED;
		skb->priority = 0;
		return 0;
	}
	if (set_key(skb, to, vni, ttl, 0) || bpf_clone_redirect(skb, set->vxlan_ifindex, 0))
		return drop(skb, DROP_SEND_FAILED);
	return 0;
}

// Copies to the hops [0, count) of a tree. The caller keeps the frame.
static __always_inline void replicate(struct __sk_buff *skb, const struct flood *flood, __u32 count, __u32 vni, __u32 ttl)
{
	skb->mark = MARK_KEYED;
	for (__u32 i = 0; i < HOPS; i++) {
		if (i >= count)
			break;
		send_copy(skb, vni, flood->hop[i], ttl);
	}
	skb->mark = 0;
}

// To a local port whose place is known. Only at ingress.
static __always_inline int deliver(struct __sk_buff *skb, __u64 location)
{
#ifndef SMALL
	if (location & MAC_PEER_DEVICE) {
		bpf_skb_change_type(skb, 0 /* PACKET_HOST; kernels from 6.15 on do it themselves */);
		return bpf_redirect_peer(location_ifindex(location), 0);
	}
#endif
	return bpf_redirect(location_ifindex(location), 0);
}
