// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Path probes: requests of a direct neighbour are sent back, replies to ours are kept for the daemon. No daemon takes part here, so a path
// is known to be alive while one restarts. The frame's layout stands in maps.h.
#pragma once
#include "send.h"

struct probe {
	__be32 magic;
	__u8 reserved;
	__u8 kind;
	__be16 source_head;
	__be32 sequence;
	__be16 ethertype;
	__be64 sent_ns;
} __attribute__((packed));

static __always_inline int is_probe(struct __sk_buff *skb, __u64 destination)
{
	return skb->protocol == bpf_htons(PROBE_ETHERTYPE) && (__u32)destination == bpf_htonl(PROBE_MAGIC);
}

static __always_inline int is_within_budget(struct probe_state *state, __u64 now)
{
	__u64 window = now >> 20; // about a millisecond
	if (state->window != window) {
		state->window = window;
		state->reflected = 0;
	}
	if (state->reflected >= PROBE_BUDGET)
		return 0;
	__sync_fetch_and_add(&state->reflected, 1);
	return 1;
}

// Back the way it came, whatever way our frames take, so that an answer says something about that way. `from` is where it came from;
// without an address, by the sleeve.
static __always_inline int reflect(struct __sk_buff *skb, const struct settings *set, __u32 neighbour, const struct endpoint *from)
{
	__u8 kind = PROBE_REPLY;
	__u32 vni = VNI(set->self, neighbour);
	if (bpf_skb_store_bytes(skb, __builtin_offsetof(struct probe, kind), &kind, 1, 0))
		return drop(skb, DROP_SEND_FAILED);
	count_relayed(neighbour, skb->len);
	note(skb, EVENT_PROBE_REFLECTED);
	if (from->transport == TRANSPORT_SLEEVE)
		return to_sleeve(skb, set, vni, neighbour, set->ttl);
	if (set_key(skb, from, vni, set->ttl, BPF_F_DONT_FRAGMENT))
		return drop(skb, DROP_SEND_FAILED);
	return to_vxlan(skb, set);
}

static __always_inline int take_probe(struct __sk_buff *skb, const struct settings *set, __u32 neighbour,
				      const struct endpoint *from)
{
	struct probe probe;
	struct probe_state *state = bpf_map_lookup_elem(&probes, &neighbour);
	__u64 now = bpf_ktime_get_ns(); // the exact clock: it measures a round trip
	if (!state || bpf_skb_load_bytes(skb, 0, &probe, sizeof(probe)))
		return drop(skb, DROP_MALFORMED);
	if (probe.kind == PROBE_REQUEST)
		return is_within_budget(state, now) ? reflect(skb, set, neighbour, from) : drop(skb, DROP_PROBE_RATE);
	if (probe.kind != PROBE_REPLY)
		return drop(skb, DROP_MALFORMED);
	__u32 sequence = bpf_ntohl(probe.sequence);
	struct probe_answer *answer = &state->answers[sequence % PROBE_SLOTS];
	__u64 sent = bpf_be64_to_cpu(probe.sent_ns);
	answer->rtt_ns = now > sent ? now - sent : 0;
	answer->sequence = sequence;
	answer->bytes = skb->len;
	answer->arrived_ns = now;
	return DROP; // arrived
}
