// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Verdicts and counters. Every drop has a reason.
#pragma once
#include "tables.h"

// "Go on": with TCX the next program, with classic tc the next filter, else the stack. Never STOLEN: TCX takes it for "go on".
#define NEXT -1
#define DROP 2
#define min(a, b) ((a) < (b) ? (a) : (b))

static __always_inline void add(struct count *count, __u32 bytes)
{
	count->packets++;
	count->bytes += bytes;
}

static __always_inline int drop(struct __sk_buff *skb, __u32 reason)
{
	struct count *count = bpf_map_lookup_elem(&drops, &reason);
	if (count)
		add(count, skb->len);
	return DROP;
}

static __always_inline void note(struct __sk_buff *skb, __u32 event)
{
	struct count *count = bpf_map_lookup_elem(&events, &event);
	if (count)
		add(count, skb->len);
}

static __always_inline void count_sent(__u32 peer, __u32 neighbour, __u32 bytes)
{
	struct peer_counts *counts = bpf_map_lookup_elem(&peers, &neighbour);
	if (!counts)
		return;
	add(&counts->to_neighbour, bytes);
	if (peer != neighbour)
		counts = bpf_map_lookup_elem(&peers, &peer);
	if (counts)
		add(&counts->sent, bytes);
}

// `peer` PEER_NONE: the frame neither started nor ends here.
static __always_inline void count_relayed(__u32 neighbour, __u32 bytes)
{
	struct peer_counts *counts = bpf_map_lookup_elem(&peers, &neighbour);
	if (counts)
		add(&counts->to_neighbour, bytes);
}

static __always_inline void count_from(__u32 neighbour, __u32 bytes)
{
	struct peer_counts *counts = bpf_map_lookup_elem(&peers, &neighbour);
	if (counts)
		add(&counts->from_neighbour, bytes);
}

static __always_inline void count_received(__u32 peer, __u32 bytes)
{
	struct peer_counts *counts = bpf_map_lookup_elem(&peers, &peer);
	if (counts)
		add(&counts->received, bytes);
}
