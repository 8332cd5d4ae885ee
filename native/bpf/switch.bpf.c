// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The switch: one Linux bridge, one VXLAN device in external mode as its port, and these programs.
//   vx_egress         egress of the VXLAN device: where does a frame of the bridge go
//   vx_ingress        its ingress: check the neighbour, learn, deliver, relay or copy along a tree
//   veth_ingress      ingress of a container's host-side link: port guard, then past the bridge where the way is known
//   veth_egress       its egress: multicast of foreign subnets
//   underlay_ingress  ingress of an underlay device: relay, or unwrap, without the stack where that is the same
//   wg_ingress        ingress of the WireGuard device: what came through it says so
//   sleeve_egress     egress of the sleeve link: the header the sleeve reads
//   sleeve_ingress    its ingress: as vx_ingress, for what the sleeve injects
// With SMALL defined it makes do with what kernels before 5.10 have.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "guard.h"
#include "probe.h"
#include "send.h"
#include "underlay.h"

char LICENSE[] SEC("license") = "GPL";

SEC("tc")
int vx_egress(struct __sk_buff *skb)
{
	const struct settings *set;
	struct macs_of mac;
	if (skb->mark == MARK_KEYED) {
		skb->mark = 0;
		return NEXT;
	}
	set = read_settings();
	if (!set)
		return drop(skb, DROP_NOT_CONFIGURED);
	if (read_macs(skb, &mac))
		return drop(skb, DROP_MALFORMED);
	if (is_link_local_group(mac.destination))
		return drop(skb, DROP_LINK_LOCAL_GROUP);
	if (is_probe(skb, mac.destination))
		return drop(skb, DROP_PROBE_FORGED);
	__u64 now = now_ns();
	if (!is_group(mac.source))
		learn_from_bridge(skb, set, mac.source, now);
	if (!is_group(mac.destination)) {
		const struct mac_entry *to = find_mac(set, mac.destination, now);
		if (to) {
			__u32 peer = location_peer(to->location);
			if (peer == PEER_NONE) // the bridge has forgotten it and floods, which reaches it
				return drop(skb, DROP_LOCAL_DESTINATION);
			return send_unicast(skb, set, peer, AT_VXLAN);
		}
	}
	__u32 self = set->self;
	const struct flood *flood = bpf_map_lookup_elem(&floods, &self);
	if (!flood || !flood->count)
		return DROP; // nobody else is there
	__u32 last = flood->count - 1, vni = VNI(self, PEER_FLOOD);
	if (last >= FANOUT)
		return drop(skb, DROP_NO_ROUTE);
	replicate(skb, flood, last, vni, set->ttl);
	// The last hop gets the frame itself.
	__u32 neighbour = flood->hop[last];
	const struct endpoint *to = find_endpoint(neighbour);
	if (!to)
		return drop(skb, DROP_NO_ROUTE);
	count_sent(PEER_FLOOD, neighbour, skb->len);
	return hand_over(skb, set, to, vni, neighbour, set->ttl, AT_VXLAN);
}

// To whom it belongs here. `learned` says whether the bridge has to see it.
static __always_inline int deliver_local(struct __sk_buff *skb, const struct settings *set, __u64 destination,
					 enum learned learned, __u64 now)
{
	if (set->flags & SETTING_BYPASS && learned == LEARNED_FRESH && !is_group(destination)) {
		const struct mac_entry *to = find_mac(set, destination, now);
		if (to && is_direct(to->location))
			return deliver(skb, to->location);
	}
	return NEXT;
}

struct arrival {
	__u32 neighbour;
	__u32 source;
	__u32 destination;
	__u32 vni;
	__u32 ttl;
};

static __always_inline int take_flooded(struct __sk_buff *skb, const struct settings *set, const struct arrival *from,
					__u64 source_mac)
{
	__u32 source = from->source;
	const struct flood *flood = bpf_map_lookup_elem(&floods, &source);
	if (!flood || flood->parent != from->neighbour)
		return drop(skb, DROP_REVERSE_PATH);
	__u64 now = now_ns();
	if (now < flood->since)
		return drop(skb, DROP_TREE_CHANGE);
	learn_remote(skb, set, source_mac, source, now);
	count_received(source, skb->len);
	if (flood->count) {
		if (from->ttl > 1)
			replicate(skb, flood, flood->count, from->vni, from->ttl - 1);
		else
			drop(skb, DROP_TTL); // the copies only: it is delivered here
	}
	return NEXT;
}

static __always_inline int relay(struct __sk_buff *skb, const struct settings *set, const struct arrival *from)
{
	__u32 neighbour = find_nexthop(from->destination);
	__u32 vni = from->vni;
	if (!neighbour)
		return drop(skb, DROP_NO_ROUTE);
	if (from->ttl <= 1)
		return drop(skb, DROP_TTL);
	if (neighbour == from->neighbour) {
		// Either a loop, or the kernel's answer to a frame we sent on and that was too big for that path: it came in with the key of
		// that frame and belongs to its sender.
		if (!is_pmtu_answer(skb))
			return drop(skb, DROP_RETURN_PATH);
		neighbour = find_nexthop(from->source);
		vni = VNI(from->destination, from->source);
		note(skb, EVENT_PMTU_ANSWER);
	}
	note(skb, EVENT_RELAYED);
	return send_on(skb, set, vni, neighbour, from->ttl - 1);
}

// `from` gets what `set_key` needs to answer there.
static __always_inline int read_key(struct __sk_buff *skb, struct bpf_tunnel_key *key, struct endpoint *from)
{
	if (!bpf_skb_get_tunnel_key(skb, key, KEY_BYTES, 0)) {
		map_ipv4(&from->address, bpf_htonl(key->remote_ipv4));
		from->ipv4 = key->remote_ipv4;
		return 0;
	}
	if (bpf_skb_get_tunnel_key(skb, key, KEY_BYTES, BPF_F_TUNINFO_IPV6))
		return -1;
	__builtin_memcpy(&from->address, key->remote_ipv6, sizeof(from->address));
	return 0;
}

// A frame from a neighbour, whichever way it came. NEXT: it is for the bridge.
static __always_inline int take(struct __sk_buff *skb, const struct settings *set, const struct arrival *from,
				const struct endpoint *back)
{
	struct macs_of mac;
	if (read_macs(skb, &mac) || is_group(mac.source))
		return drop(skb, DROP_MALFORMED);
	__u64 now = now_ns();
	if (from->source == set->self) {
		if (!is_pmtu_answer(skb))
			return drop(skb, DROP_OWN_SOURCE);
		note(skb, EVENT_PMTU_ANSWER);
		return deliver_local(skb, set, mac.destination, LEARNED_FRESH, now);
	}
	count_from(from->neighbour, skb->len);
	if (is_probe(skb, mac.destination) && !skb->vlan_present) {
		int direct = from->source == from->neighbour && from->destination == set->self;
		return direct ? take_probe(skb, set, from->neighbour, back) : drop(skb, DROP_PROBE_FORGED);
	}
	if (!find_nexthop(from->source))
		return drop(skb, DROP_UNKNOWN_PEER);
	if (from->destination == PEER_FLOOD)
		return take_flooded(skb, set, from, mac.source);
	if (from->destination != set->self)
		return relay(skb, set, from);
	count_received(from->source, skb->len);
	enum learned learned = learn_remote(skb, set, mac.source, from->source, now);
	return deliver_local(skb, set, mac.destination, learned, now);
}

SEC("tc")
int vx_ingress(struct __sk_buff *skb)
{
	const struct settings *set = read_settings();
	struct bpf_tunnel_key key = {};
	struct endpoint back = {};
	__u32 mark = skb->mark;
	if (!set)
		return drop(skb, DROP_NOT_CONFIGURED);
	if (mark == MARK_DELIVER) {
		skb->mark = 0;
		return NEXT;
	}
	if (read_key(skb, &key, &back))
		return drop(skb, DROP_NO_TUNNEL_KEY);
	const struct neighbour *neighbour = bpf_map_lookup_elem(&neighbours, &back.address);
	if (!neighbour)
		return drop(skb, DROP_UNKNOWN_NEIGHBOUR);
	if (neighbour->flags & NEIGHBOUR_WIREGUARD) {
		if (mark != MARK_WIREGUARD)
			return drop(skb, DROP_NOT_ENCRYPTED);
		skb->mark = 0;
	}
	struct arrival from = {neighbour->id, key.tunnel_id & (PEERS - 1), key.tunnel_id >> 12 & (PEERS - 1), key.tunnel_id,
			       key.tunnel_ttl};
	return take(skb, set, &from, &back);
}

SEC("tc")
int sleeve_ingress(struct __sk_buff *skb)
{
	const struct settings *set = read_settings();
	struct endpoint back = {.transport = TRANSPORT_SLEEVE};
	__u32 mark = skb->mark, neighbour = skb->vlan_tci & (PEERS - 1);
	if (!set)
		return drop(skb, DROP_NOT_CONFIGURED);
	if (!skb->vlan_present || bpf_skb_vlan_pop(skb))
		return drop(skb, DROP_SLEEVE_STRANGER);
	// Whoever has the sleeve has a place for its probes.
	if (!bpf_map_lookup_elem(&probes, &neighbour))
		return drop(skb, DROP_UNKNOWN_NEIGHBOUR);
	skb->mark = 0;
	__u32 vni = mark & 0xffffff;
	struct arrival from = {neighbour, vni & (PEERS - 1), vni >> 12, vni, mark >> 24};
	int verdict = take(skb, set, &from, &back);
	if (verdict != NEXT)
		return verdict;
	skb->mark = MARK_DELIVER;
	return bpf_redirect(set->vxlan_ifindex, BPF_F_INGRESS);
}

// Popping the first tag has brought the second one beside the frame, from where it goes back behind the MACs. Guarded ports let no more in.
static __always_inline int push_header_and_tag(struct __sk_buff *skb, const struct sleeve_header *header)
{
	struct {
		struct sleeve_header header;
		__u8 macs[2 * ETH_ALEN];
		__be16 protocol;
		__be16 tci;
	} __attribute__((packed)) front = {.header = *header, .protocol = skb->vlan_proto, .tci = bpf_htons(skb->vlan_tci)};
	if (bpf_skb_vlan_pop(skb) || bpf_skb_load_bytes(skb, 0, front.macs, sizeof(front.macs)))
		return -DROP_MALFORMED;
	if (skb->vlan_present)
		return -DROP_VLAN_STACK;
	if (bpf_skb_change_head(skb, sizeof(front) - sizeof(front.macs), 0) || bpf_skb_store_bytes(skb, 0, &front, sizeof(front), 0))
		return -DROP_SEND_FAILED;
	return 0;
}

static __always_inline int push_header(struct __sk_buff *skb, const struct sleeve_header *header)
{
	if (bpf_skb_change_head(skb, sizeof(*header), 0) || bpf_skb_store_bytes(skb, 0, header, sizeof(*header), 0))
		return -DROP_SEND_FAILED;
	return 0;
}

SEC("tc")
int sleeve_egress(struct __sk_buff *skb)
{
	__u32 mark = skb->mark, priority = skb->priority;
	if ((priority & ~(PEERS - 1)) != SLEEVE_PRIORITY)
		return drop(skb, DROP_SLEEVE_STRANGER);
	struct sleeve_header header = {
		.ttl_vni = bpf_htonl(mark),
		.gso_size = bpf_htons(skb->gso_size),
		.neighbour = bpf_htons(priority & (PEERS - 1)),
		.ethertype = bpf_htons(SLEEVE_ETHERTYPE),
	};
	if (skb->vlan_present) {
		header.vlan_protocol = skb->vlan_proto;
		header.vlan_tci = bpf_htons(skb->vlan_tci);
		if (bpf_skb_vlan_pop(skb))
			return drop(skb, DROP_MALFORMED);
	}
	int refused = skb->vlan_present ? push_header_and_tag(skb, &header) : push_header(skb, &header);
	if (refused)
		return drop(skb, -refused);
	skb->mark = 0;
	skb->priority = 0;
	return NEXT;
}

SEC("tc")
int wg_ingress(struct __sk_buff *skb)
{
	skb->mark = MARK_WIREGUARD;
	return NEXT;
}

SEC("tc")
int veth_ingress(struct __sk_buff *skb)
{
	const struct settings *set = read_settings();
	__u32 ifindex = skb->ifindex;
	struct macs_of mac;
	struct port *port = bpf_map_lookup_elem(&ports, &ifindex);
	if (!port)
		return drop(skb, DROP_UNKNOWN_PORT);
	__u32 linear = skb->data_end - skb->data;
	if (linear < HEADERS && linear < skb->len)
		bpf_skb_pull_data(skb, min(skb->len, HEADERS));
	if (read_macs(skb, &mac))
		return drop(skb, DROP_MALFORMED);
	if (is_link_local_group(mac.destination))
		return drop(skb, DROP_LINK_LOCAL_GROUP);
	if (is_group(mac.source) || !mac.source)
		return drop(skb, DROP_SOURCE_MAC);
	if (port->flags & PORT_GUARDED) {
		int reason = guard(skb, port, mac.source);
		if (reason != PASS)
			return drop(skb, reason);
	}
	if (is_probe(skb, mac.destination))
		return drop(skb, DROP_PROBE_FORGED);
	if (!set)
		return NEXT; // local switching works before the daemon has said who we are
	__u64 now = now_ns();
	enum learned learned = learn_local(skb, set, port, mac.source, now);
	if (learned == LEARNED_LIMIT)
		return drop(skb, DROP_MAC_LIMIT);
	if (learned == LEARNED_SHOW || is_group(mac.destination) || !(set->flags & SETTING_BYPASS) ||
	    !(port->flags & PORT_BYPASS))
		return NEXT;
	const struct mac_entry *to = find_mac(set, mac.destination, now);
	if (!to)
		return NEXT;
	__u64 location = to->location;
	if (location_peer(location) != PEER_NONE)
		return send_unicast(skb, set, location_peer(location), ELSEWHERE);
	return is_direct(location) && location_ifindex(location) != ifindex ? deliver(skb, location) : NEXT;
}

SEC("tc")
int veth_egress(struct __sk_buff *skb)
{
	struct macs_of mac;
	if (read_macs(skb, &mac) || !is_group(mac.destination))
		return NEXT;
	return is_foreign_multicast(skb) ? drop(skb, DROP_MULTICAST_SUBNET) : NEXT;
}

SEC("tc")
int underlay_ingress(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return NEXT;
	return at_underlay(skb);
}
