// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The MAC table: one for local and remote, so one lookup decides everything. Ages in the reader, so no daemon is needed for it. Writing to
// an LRU map is costly: an entry is stamped only when its stamp is `stamp_ns` old. That one frame then takes the bridge, which keeps the
// bridge's own table warm; without it the bridge would forget bypassed MACs and flood frames of the host to every container.
#pragma once
#include "count.h"
#include "packet.h"

#ifdef SMALL
#define now_ns() bpf_ktime_get_ns()
#else
#define now_ns() bpf_ktime_get_coarse_ns()
#endif

enum learned {
	LEARNED_FRESH, // known, here, recently stamped
	LEARNED_SHOW,  // new, moved or stamped again: show this frame to the bridge
	LEARNED_LIMIT, // the port has too many
};

static __always_inline __u32 location_peer(__u64 location)
{
	return location >> 32 & (PEERS - 1);
}

static __always_inline __u32 location_ifindex(__u64 location)
{
	return (__u32)location;
}

// A local port that frames may be put at directly.
static __always_inline int is_direct(__u64 location)
{
	return location_peer(location) == PEER_NONE && location_ifindex(location) && !(location & MAC_BRIDGED);
}

// The coarse clock may stand behind the one an entry was stamped with on another CPU, by less than a tick.
static __always_inline int is_older(__u64 stamp, __u64 now, __u64 age)
{
	return now > stamp && now - stamp > age;
}

static __always_inline const struct mac_entry *find_mac(const struct settings *set, __u64 mac, __u64 now)
{
	const struct mac_entry *entry = bpf_map_lookup_elem(&macs, &mac);
	return entry && !is_older(entry->stamp, now, set->age_ns) ? entry : 0;
}

// The port no longer has this MAC: its next frame from there must be looked up again.
static __always_inline void uncache(__u64 location)
{
	__u32 ifindex = location_ifindex(location);
	struct port *port = bpf_map_lookup_elem(&ports, &ifindex);
	if (port)
		port->cached_mac = 0;
}

static __always_inline void move(struct __sk_buff *skb, const struct settings *set, struct mac_entry *entry,
				 __u64 location, __u64 now)
{
	__u64 before = entry->location;
	entry->location = location;
	if (!is_older(entry->stamp, now, set->age_ns))
		note(skb, EVENT_MAC_MOVED);
	entry->stamp = now;
	if (location_ifindex(before))
		uncache(before);
}

static __always_inline enum learned learn_remote(struct __sk_buff *skb, const struct settings *set, __u64 mac,
						 __u32 peer, __u64 now)
{
	struct mac_entry *entry = bpf_map_lookup_elem(&macs, &mac);
	if (!entry) {
		struct mac_entry fresh = {MAC_LOCATION(peer, 0), now};
		bpf_map_update_elem(&macs, &mac, &fresh, BPF_ANY);
		return LEARNED_SHOW;
	}
	if (entry->location != MAC_LOCATION(peer, 0)) {
		move(skb, set, entry, MAC_LOCATION(peer, 0), now);
		return LEARNED_SHOW;
	}
	if (!is_older(entry->stamp, now, set->stamp_ns))
		return LEARNED_FRESH;
	entry->stamp = now;
	return LEARNED_SHOW;
}

// Seen leaving the bridge: local, but the port is unknown here and a known one is kept.
static __always_inline void learn_from_bridge(struct __sk_buff *skb, const struct settings *set, __u64 mac, __u64 now)
{
	struct mac_entry *entry = bpf_map_lookup_elem(&macs, &mac);
	if (!entry) {
		struct mac_entry fresh = {MAC_LOCATION(PEER_NONE, 0), now};
		bpf_map_update_elem(&macs, &mac, &fresh, BPF_ANY);
	} else if (location_peer(entry->location) != PEER_NONE) {
		move(skb, set, entry, MAC_LOCATION(PEER_NONE, 0), now);
	} else if (!location_ifindex(entry->location) && is_older(entry->stamp, now, set->stamp_ns)) {
		entry->stamp = now;
	}
}

// Room for one more MAC in this ageing period. A MAC that lives on counts again in each period, always admitted; so at any time
// at most twice the limit are alive, without anybody sweeping.
static __always_inline int admit(const struct settings *set, struct port *port, __u64 now, int known)
{
	__u64 period = now / (set->age_ns | 1);
	if (port->period != period) {
		port->period = period;
		port->learned = 0;
	}
	if (!known && port->learned >= port->mac_limit)
		return 0;
	__sync_fetch_and_add(&port->learned, 1);
	return 1;
}

static __always_inline enum learned learn_local(struct __sk_buff *skb, const struct settings *set, struct port *port,
						__u64 mac, __u64 now)
{
	// The usual case, one MAC behind a port, costs no lookup.
	if (port->cached_mac == mac && port->cached_generation == set->generation &&
	    !is_older(port->cached_stamp, now, set->stamp_ns))
		return LEARNED_FRESH;
	__u64 location = MAC_LOCATION(PEER_NONE, skb->ifindex);
	if (port->flags & PORT_PEER_DEVICE)
		location |= MAC_PEER_DEVICE;
	if (!(port->flags & PORT_BYPASS))
		location |= MAC_BRIDGED;
	struct mac_entry *entry = bpf_map_lookup_elem(&macs, &mac);
	int here = entry && entry->location == location && !is_older(entry->stamp, now, set->age_ns);
	if (here && !is_older(entry->stamp, now, set->stamp_ns)) {
		port->cached_mac = mac;
		port->cached_stamp = entry->stamp;
		port->cached_generation = set->generation;
		return LEARNED_FRESH;
	}
	if (here) {
		if (now / (set->age_ns | 1) != entry->stamp / (set->age_ns | 1))
			admit(set, port, now, 1);
		entry->stamp = now;
	} else {
		// A guarded port has one MAC, which may come back as often as it likes.
		if (!admit(set, port, now, port->flags & PORT_GUARDED))
			return LEARNED_LIMIT;
		if (entry && location_peer(entry->location) == PEER_NONE && !location_ifindex(entry->location)) {
			entry->location = location; // was seen at the bridge only: no move
			entry->stamp = now;
		} else if (entry) {
			move(skb, set, entry, location, now);
		} else {
			struct mac_entry fresh = {location, now};
			bpf_map_update_elem(&macs, &mac, &fresh, BPF_ANY);
		}
	}
	port->cached_mac = mac;
	port->cached_stamp = now;
	port->cached_generation = set->generation;
	return LEARNED_SHOW;
}
