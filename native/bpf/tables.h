// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The maps themselves. Names are the file names of the pins. Who writes: the daemon, except macs, drops, events, peers and the state
// part of ports and probes, which the switch writes.
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

#define ARRAY(name_, entries_, value_)                                                                             \
	struct {                                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                  \
		__uint(max_entries, entries_);                                                                     \
		__type(key, __u32);                                                                                \
		__type(value, value_);                                                                             \
	} name_ SEC(".maps")

#define PERCPU_ARRAY(name_, entries_, value_)                                                                      \
	struct {                                                                                                   \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                           \
		__uint(max_entries, entries_);                                                                     \
		__type(key, __u32);                                                                                \
		__type(value, value_);                                                                             \
	} name_ SEC(".maps")

// Without preallocation, because most hosts use few of so many. Since Linux 6.1 (bpf_mem_alloc) the memory of an element that is replaced or taken out may
// become another one's at once, as with preallocation: a frame that is being handled at that very moment may be handled by the other's values.
#define HASH(name_, entries_, key_, value_)                                                                        \
	struct {                                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                                   \
		__uint(max_entries, entries_);                                                                     \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                              \
		__type(key, key_);                                                                                 \
		__type(value, value_);                                                                             \
	} name_ SEC(".maps")

ARRAY(settings, 1, struct settings);
ARRAY(nexthops, PEERS, __u32);
HASH(endpoints, NEIGHBOURS, __u32, struct endpoint);
HASH(neighbours, NEIGHBOURS, struct ip16, struct neighbour);
HASH(floods, PEERS, __u32, struct flood);
HASH(ports, PORTS, __u32, struct port);
HASH(port_addresses, ADDRESSES, struct port_address, __u32);
HASH(probes, NEIGHBOURS, __u32, struct probe_state);
PERCPU_ARRAY(drops, DROP_SLOTS, struct count);
PERCPU_ARRAY(events, EVENT_SLOTS, struct count);
PERCPU_ARRAY(peers, PEERS, struct peer_counts);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct port_subnet);
	__type(value, __u32);
} port_subnets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAC_ENTRIES);
	__type(key, __u64);
	__type(value, struct mac_entry);
} macs SEC(".maps");

// NULL before the daemon has said who we are.
static __always_inline const struct settings *read_settings(void)
{
	__u32 zero = 0;
	const struct settings *set = bpf_map_lookup_elem(&settings, &zero);
	return set && set->self ? set : 0;
}
