// SPDX-License-Identifier: Apache-2.0
// Traffic for the benches, compiled when they run. One sink per place under test, sources come and go:
//   netbench sink CPU PORT                       takes TCP streams and UDP packets until killed
//   netbench tcp CPU ADDRESS PORT STREAMS MS     prints Gbit/s that arrived
//   netbench udp CPU ADDRESS PORT BYTES MS       prints Gbit/s of payload and packets per second that arrived
//   netbench ping CPU ADDRESS COUNT              prints median and 99th percentile of back-to-back round trips in microseconds
// CPU pins the process; -1 leaves it free. Addresses are IPv4. What counts is what arrived, told by the sink.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 128 * 1024, BATCH = 32, MAX_STREAMS = 64, STREAM = 'S', COUNT = 'C', TELL = 'T' };

/** What a sink tells a source: how much came, and in how many nanoseconds between the first and the last of it. */
struct told { uint64_t bytes, packets, nanoseconds; };

static _Atomic uint64_t udp_bytes, udp_packets, udp_first, udp_last;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
  fprintf(stderr, "netbench: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void pin(int cpu) {
  cpu_set_t set;
  if (cpu < 0) return;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

static struct sockaddr_in address_of(const char *text, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1) die(text);
  return address;
}

static void big_buffers(int fd) {
  int bytes = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
}

static int dial(const struct sockaddr_in *address) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (const struct sockaddr *)address, sizeof *address)) die("connect");
  return fd;
}

static void must_write(int fd, const void *data, size_t bytes) {
  if (write(fd, data, bytes) != (ssize_t)bytes) die("write");
}

static struct told must_read(int fd) {
  struct told told;
  if (recv(fd, &told, sizeof told, MSG_WAITALL) != sizeof told) die("the sink went away");
  return told;
}

static void *take_udp(void *argument) {
  int fd = *(int *)argument;
  static char memory[BATCH][65536];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){memory[i], sizeof memory[i]};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (;;) {
    int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (got <= 0) continue;
    uint64_t bytes = 0, at = now();
    for (int i = 0; i < got; i++) bytes += messages[i].msg_len;
    if (udp_packets == 0) udp_first = at;
    udp_last = at;
    udp_bytes += bytes;
    udp_packets += (uint64_t)got;
  }
  return NULL;
}

/** One control connection: a stream to swallow, or the UDP counter to start and tell. */
static void *serve(void *argument) {
  int fd = (int)(intptr_t)argument;
  char *chunk = malloc(CHUNK), mode = 0;
  struct told told = {0, 0, 0};
  if (read(fd, &mode, 1) == 1 && mode == STREAM) {
    uint64_t first = 0, last = 0;
    ssize_t got;
    while ((got = read(fd, chunk, CHUNK)) > 0) {
      last = now();
      // The first chunk only starts the clock.
      if (first == 0) first = last;
      else told.bytes += (uint64_t)got;
    }
    told.nanoseconds = last - first;
    if (write(fd, &told, sizeof told) < 0) perror("netbench: answer");
  } else if (mode == COUNT) {
    udp_bytes = udp_packets = udp_first = udp_last = 0;
    if (write(fd, &mode, 1) == 1 && read(fd, &mode, 1) == 1 && mode == TELL) {
      told = (struct told){udp_bytes, udp_packets, udp_last - udp_first};
      if (write(fd, &told, sizeof told) < 0) perror("netbench: answer");
    }
  }
  close(fd);
  free(chunk);
  return NULL;
}

static _Noreturn void sink(int port) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int yes = 1, udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
  big_buffers(udp);
  setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(udp, (struct sockaddr *)&any, sizeof any) || bind(tcp, (struct sockaddr *)&any, sizeof any)) die("bind");
  if (listen(tcp, 64)) die("listen");
  pthread_t thread;
  pthread_create(&thread, NULL, take_udp, &udp);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int fd = accept(tcp, NULL, NULL);
    if (fd < 0) continue;
    pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd);
    pthread_detach(thread);
  }
}

struct stream { const struct sockaddr_in *address; uint64_t until; struct told told; };

static void *send_stream(void *argument) {
  struct stream *stream = argument;
  char *chunk = calloc(1, CHUNK), mode = STREAM;
  int fd = dial(stream->address);
  must_write(fd, &mode, 1);
  while (now() < stream->until)
    if (write(fd, chunk, CHUNK) < 0) die("stream");
  shutdown(fd, SHUT_WR);
  stream->told = must_read(fd);
  close(fd);
  free(chunk);
  return NULL;
}

static int tcp(const struct sockaddr_in *address, int streams, int milliseconds) {
  struct stream all[MAX_STREAMS];
  pthread_t threads[MAX_STREAMS];
  if (streams > MAX_STREAMS) return 2;
  uint64_t until = now() + (uint64_t)milliseconds * 1000000u;
  for (int i = 0; i < streams; i++) {
    all[i] = (struct stream){address, until, {0, 0, 0}};
    pthread_create(&threads[i], NULL, send_stream, &all[i]);
  }
  double gigabits = 0;
  for (int i = 0; i < streams; i++) {
    pthread_join(threads[i], NULL);
    if (all[i].told.nanoseconds > 0) gigabits += 8.0 * (double)all[i].told.bytes / (double)all[i].told.nanoseconds;
  }
  printf("{\"gbits\":%.4f}\n", gigabits);
  return 0;
}

static int udp(const struct sockaddr_in *address, int bytes, int milliseconds) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), control = dial(address);
  char mode = COUNT, *packet = calloc(1, (size_t)bytes);
  struct iovec part = {packet, (size_t)bytes};
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    messages[i].msg_hdr.msg_iov = &part;
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  big_buffers(fd);
  if (connect(fd, (const struct sockaddr *)address, sizeof *address)) die("connect");
  must_write(control, &mode, 1);
  if (read(control, &mode, 1) != 1) die("the sink went away");
  uint64_t until = now() + (uint64_t)milliseconds * 1000000u;
  while (now() < until) sendmmsg(fd, messages, BATCH, 0);
  usleep(30000);
  mode = TELL;
  must_write(control, &mode, 1);
  struct told told = must_read(control);
  double seconds = (double)told.nanoseconds / 1e9;
  if (seconds <= 0) seconds = 1e9;
  printf("{\"gbits\":%.4f,\"pps\":%.0f}\n", 8.0 * (double)told.bytes / seconds / 1e9, (double)told.packets / seconds);
  return 0;
}

static uint16_t internet_checksum(const uint16_t *words, size_t count) {
  uint32_t sum = 0;
  while (count--) sum += *words++;
  sum = (sum >> 16) + (sum & 0xffff);
  return (uint16_t)~(sum + (sum >> 16));
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int ping(const struct sockaddr_in *address, int count) {
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), lost = 0;
  double *microseconds = calloc((size_t)count, sizeof *microseconds);
  struct timeval patience = {1, 0};
  if (fd < 0) die("raw socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, (const struct sockaddr *)address, sizeof *address)) die("connect");
  int answered = 0;
  for (int sequence = 0; sequence < count; sequence++) {
    struct { struct icmphdr header; char data[56]; } request;
    memset(&request, 0, sizeof request);
    request.header.type = ICMP_ECHO;
    request.header.un.echo.id = htons((uint16_t)getpid());
    request.header.un.echo.sequence = htons((uint16_t)sequence);
    request.header.checksum = internet_checksum((const uint16_t *)&request, sizeof request / 2);
    uint64_t began = now();
    if (send(fd, &request, sizeof request, 0) < 0) die("send");
    for (;;) {
      char answer[512];
      ssize_t got = recv(fd, answer, sizeof answer, 0);
      if (got < 0) { lost++; break; }
      const struct icmphdr *header = (const struct icmphdr *)(answer + (answer[0] & 15) * 4);
      if (header->type != ICMP_ECHOREPLY || header->un.echo.id != request.header.un.echo.id ||
          header->un.echo.sequence != request.header.un.echo.sequence) continue;
      microseconds[answered++] = (double)(now() - began) / 1000.0;
      break;
    }
  }
  if (answered == 0) { fprintf(stderr, "netbench: no answer\n"); return 1; }
  qsort(microseconds, (size_t)answered, sizeof *microseconds, ascending);
  printf("{\"median\":%.2f,\"p99\":%.2f,\"lost\":%d}\n", microseconds[answered / 2], microseconds[answered * 99 / 100], lost);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  pin(atoi(argv[2]));
  if (!strcmp(argv[1], "sink")) sink(atoi(argv[3]));
  if (!strcmp(argv[1], "ping") && argc == 5) {
    struct sockaddr_in address = address_of(argv[3], 0);
    return ping(&address, atoi(argv[4]));
  }
  if (argc != 7) return 2;
  struct sockaddr_in address = address_of(argv[3], atoi(argv[4]));
  if (!strcmp(argv[1], "tcp")) return tcp(&address, atoi(argv[5]), atoi(argv[6]));
  if (!strcmp(argv[1], "udp")) return udp(&address, atoi(argv[5]), atoi(argv[6]));
  return 2;
}
