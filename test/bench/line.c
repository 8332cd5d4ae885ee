// SPDX-License-Identifier: Apache-2.0
// A bad line between two Ethernet links of this namespace, like netem at both of its ends, for kernels without that: each frame is lost, goes
// at once (and so overtakes others), or goes after the delay.
//   line LINK LINK LOSS-PERCENT DELAY-MS REORDER-PERCENT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SLOTS 4096
#define FRAME_BYTES 2048

struct waiting {
	uint64_t due_ns;
	int length;
	unsigned char bytes[FRAME_BYTES];
};
/** One direction: frames in the order in which they came, because all wait equally long. */
struct way {
	int from, to;
	unsigned head, count;
	struct waiting *slots;
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/** 0..99, the same in each run (xorshift, Marsaglia 2003). */
static unsigned draw(void)
{
	static uint64_t state = 88172645463325252ull;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % 100);
}

static int open_link(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct packet_mreq all = {.mr_type = PACKET_MR_PROMISC};
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
	address.sll_ifindex = all.mr_ifindex = (int)if_nametoindex(name);
	if (fd < 0 || address.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all))) {
		perror(name);
		exit(1);
	}
	return fd;
}

static void take(struct way *way, unsigned loss, unsigned reorder, uint64_t delay_ns)
{
	for (;;) {
		struct waiting *slot = &way->slots[(way->head + way->count) % SLOTS];
		if (way->count == SLOTS)
			return;
		ssize_t length = recv(way->from, slot->bytes, FRAME_BYTES, MSG_TRUNC);
		if (length <= 0)
			return;
		if (length > FRAME_BYTES) {
			fprintf(stderr, "a frame of %zd bytes: switch segmentation off\n", length);
			exit(1);
		}
		if (draw() < loss)
			continue;
		if (draw() < reorder) {
			send(way->to, slot->bytes, (size_t)length, 0);
			continue;
		}
		slot->length = (int)length;
		slot->due_ns = now_ns() + delay_ns;
		way->count++;
	}
}

static void give(struct way *way, uint64_t now)
{
	while (way->count > 0 && way->slots[way->head].due_ns <= now) {
		send(way->to, way->slots[way->head].bytes, (size_t)way->slots[way->head].length, 0);
		way->head = (way->head + 1) % SLOTS;
		way->count--;
	}
}

int main(int count, char **words)
{
	if (count != 6)
		return 2;
	int a = open_link(words[1]), b = open_link(words[2]);
	unsigned loss = (unsigned)atoi(words[3]), reorder = (unsigned)atoi(words[5]);
	uint64_t delay_ns = (uint64_t)atoi(words[4]) * 1000000ull;
	struct way ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
	for (int i = 0; i < 2; i++)
		ways[i].slots = calloc(SLOTS, sizeof(struct waiting));
	puts("ready");
	fflush(stdout);
	for (;;) {
		uint64_t now = now_ns(), due = now + 1000000000ull;
		for (int i = 0; i < 2; i++)
			if (ways[i].count > 0 && ways[i].slots[ways[i].head].due_ns < due)
				due = ways[i].slots[ways[i].head].due_ns;
		uint64_t wait = due > now ? due - now : 0;
		struct timespec pause = {.tv_sec = (time_t)(wait / 1000000000ull), .tv_nsec = (long)(wait % 1000000000ull)};
		struct pollfd fds[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
		ppoll(fds, 2, &pause, NULL);
		for (int i = 0; i < 2; i++) {
			take(&ways[i], loss, reorder, delay_ns);
			give(&ways[i], now_ns());
		}
	}
}
