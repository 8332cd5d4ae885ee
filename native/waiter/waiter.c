// SPDX-License-Identifier: Apache-2.0
// The first program of a container on the network: waits until its interface is there, then becomes the container's own program. Its folder is mounted
// read-only into containers of any image, mostly at /w, so it needs nothing: no C library, no file but /proc/net/route.
//
//   /w/w PROGRAM [ARGUMENT...]
//
// There: `ethwe` is up, and unless /w/nomcast exists or it has no IPv4 address, multicast is routed; attach does these in that order.
// Looks again whenever the kernel tells of a link or a route, and every second whatever it tells. Ends at once on the signals that end programs, which
// the first process of a container would otherwise not hear.
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long u64;
typedef long i64;

#if defined(__x86_64__)
enum { READ = 0, CLOSE = 3, IOCTL = 16, SOCKET = 41, BIND = 49, EXECVE = 59, EXIT = 231, OPENAT = 257, PPOLL = 271, SIGNALFD4 = 289, SIGPROCMASK = 14, WRITE = 1 };
static i64 call(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e) {
  i64 result;
  register i64 r10 __asm__("r10") = d;
  register i64 r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call run\n");
#elif defined(__aarch64__)
enum { READ = 63, CLOSE = 57, IOCTL = 29, SOCKET = 198, BIND = 200, EXECVE = 221, EXIT = 94, OPENAT = 56, PPOLL = 73, SIGNALFD4 = 74, SIGPROCMASK = 135, WRITE = 64 };
static i64 call(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e) {
  register i64 x8 __asm__("x8") = number;
  register i64 x0 __asm__("x0") = a;
  register i64 x1 __asm__("x1") = b;
  register i64 x2 __asm__("x2") = c;
  register i64 x3 __asm__("x3") = d;
  register i64 x4 __asm__("x4") = e;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
__asm__(".globl _start\n_start: mov x0, sp\n b run\n");
#else
#error "no such machine"
#endif

enum {
  AT_FDCWD = -100, O_CLOEXEC = 02000000,                               // fcntl.h
  AF_INET = 2, AF_NETLINK = 16, SOCK_RAW = 3, SOCK_DGRAM = 2, SOCK_CLOEXEC = 02000000, // sys/socket.h
  GROUP_LINK = 1, GROUP_IPV4_ROUTE = 0x40,                             // linux/rtnetlink.h
  SIOCGIFFLAGS = 0x8913, SIOCGIFADDR = 0x8915, IFF_UP = 1,             // linux/sockios.h, linux/if.h
  POLLIN = 1, ENOENT = 2, ENOEXEC = 8, EACCES = 13, ENOTDIR = 20,      // errno.h
  SIG_BLOCK = 0, SIG_SETMASK = 2,
};
struct netlink_address { u16 family, pad; u32 pid, groups; };      // struct sockaddr_nl, linux/netlink.h
struct interface { char name[16]; union { short flags; char other[24]; }; }; // struct ifreq, linux/if.h
struct watched { int fd; short events, got; };                     // struct pollfd
struct moment { i64 seconds, nanoseconds; };                       // struct timespec

// The compiler may make calls of these.
void *memset(void *to, int byte, u64 count) {
  for (volatile char *at = to; count--; at++) *at = (char)byte;
  return to;
}
void *memcpy(void *to, const void *from, u64 count) {
  volatile char *at = to;
  for (const char *source = from; count--; at++, source++) *at = *source;
  return to;
}

static u64 length(const char *text) {
  u64 count = 0;
  while (text[count]) count++;
  return count;
}
static int begins(const char *text, const char *with) {
  while (*with) if (*text++ != *with++) return 0;
  return 1;
}
static void say(const char *text) { call(WRITE, 2, (i64)text, (i64)length(text), 0, 0); }

static int is_there(const char *path) {
  i64 fd = call(OPENAT, AT_FDCWD, (i64)path, O_CLOEXEC, 0, 0);
  if (fd >= 0) call(CLOSE, fd, 0, 0, 0, 0);
  return fd >= 0;
}

static int asks(int fd, int request, struct interface *about) {
  memset(about, 0, sizeof *about);
  memcpy(about->name, "ethwe", 5);
  return call(IOCTL, fd, request, (i64)about, 0, 0) == 0;
}

// /proc/net/route gives addresses as the machine's own numbers in hexadecimal: 224.0.0.0 and 240.0.0.0 on little-endian machines.
static int multicast_is_routed(void) {
  static const char route[] = "\t000000E0\t", mask[] = "\t000000F0\t";
  i64 fd = call(OPENAT, AT_FDCWD, (i64)"/proc/net/route", O_CLOEXEC, 0, 0);
  if (fd < 0) return 1; // it cannot be told
  char window[256];
  u64 held = 0;
  int routed = 0, has_route = 0;
  for (i64 got; !routed && (got = call(READ, fd, (i64)(window + held), 1, 0, 0)) == 1;) {
    if (window[held] == '\n' || held == sizeof window - 1) {
      has_route = 0;
      for (u64 at = 0; at < held; at++) {
        if (held - at >= sizeof route - 1 && begins(window + at, route)) has_route = 1;
        if (has_route && held - at >= sizeof mask - 1 && begins(window + at, mask)) routed = 1;
      }
      held = 0;
    } else {
      held++;
    }
  }
  call(CLOSE, fd, 0, 0, 0, 0);
  return routed;
}

static char no_multicast[256]; // path of that file, in the waiter's own folder

static void find_folder(const char *self) {
  static const char name[] = "nomcast";
  u64 folder = 0;
  for (u64 at = 0; self[at]; at++) if (self[at] == '/') folder = at + 1;
  if (folder + sizeof name > sizeof no_multicast) return;
  memcpy(no_multicast, self, folder);
  memcpy(no_multicast + folder, name, sizeof name);
}

static int is_ready(int fd) {
  struct interface about;
  if (!asks(fd, SIOCGIFFLAGS, &about) || !(about.flags & IFF_UP)) return 0;
  if (is_there(no_multicast) || !asks(fd, SIOCGIFADDR, &about)) return 1;
  return multicast_is_routed();
}

static void wait_for_network(int signals) {
  int fd = (int)call(SOCKET, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0);
  int news = (int)call(SOCKET, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0, 0, 0);
  struct netlink_address groups = {AF_NETLINK, 0, 0, GROUP_LINK | GROUP_IPV4_ROUTE};
  call(BIND, news, (i64)&groups, sizeof groups, 0, 0);
  static char buffer[8192];
  int seconds = 0;
  while (!is_ready(fd)) {
    struct watched both[2] = {{news, POLLIN, 0}, {signals, POLLIN, 0}};
    struct moment second = {1, 0};
    i64 got = call(PPOLL, (i64)both, 2, (i64)&second, 0, 8);
    if (got == 0 && ++seconds == 10) say("weave: waiting for the network; see 'weave status' on this host\n");
    if (both[0].got) call(READ, news, (i64)buffer, sizeof buffer, 0, 0); // what it says is looked up, so a lost message loses nothing
    if (both[1].got && call(READ, signals, (i64)buffer, 128, 0, 0) > 0) call(EXIT, 128 + *(u32 *)buffer, 0, 0, 0, 0);
  }
  call(CLOSE, fd, 0, 0, 0, 0);
  call(CLOSE, news, 0, 0, 0, 0);
}

static void fail(const char *name, i64 error) __attribute__((noreturn));
static void fail(const char *name, i64 error) {
  int missing = error == -ENOENT || error == -ENOTDIR;
  int has_path = 0;
  for (const char *at = name; *at; at++) has_path |= *at == '/';
  say("exec: \"");
  say(name);
  say(missing ? (has_path ? "\": no such file or directory\n" : "\": executable file not found in $PATH\n")
              : error == -EACCES ? "\": permission denied\n" : error == -ENOEXEC ? "\": exec format error\n" : "\": cannot be run\n");
  call(EXIT, missing ? 127 : 126, 0, 0, 0, 0);
  __builtin_unreachable();
}

static void become(char **words, char **environment) __attribute__((noreturn));
static void become(char **words, char **environment) {
  const char *name = words[0], *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const char *at = name; *at; at++)
    if (*at == '/') fail(name, call(EXECVE, (i64)name, (i64)words, (i64)environment, 0, 0));
  for (char **one = environment; *one; one++)
    if (begins(*one, "PATH=")) path = *one + 5;
  static char file[8192];
  i64 error = -ENOENT;
  for (u64 size = length(name); *name;) {
    u64 folder = 0;
    while (path[folder] && path[folder] != ':') folder++;
    if (folder + size + 3 < sizeof file) {
      memcpy(file, path, folder);
      if (folder == 0) file[folder++] = '.';
      file[folder] = '/';
      memcpy(file + folder + 1, name, size + 1);
      i64 got = call(EXECVE, (i64)file, (i64)words, (i64)environment, 0, 0);
      if (got != -ENOENT && got != -ENOTDIR) error = got;
    }
    while (*path && *path != ':') path++;
    if (!*path++) break;
  }
  fail(name, error);
}

__attribute__((used, noreturn)) void run(i64 *stack) {
  i64 count = stack[0];
  char **words = (char **)(stack + 1), **environment = words + count + 1;
  if (count < 2) {
    say("weave: no command specified\n");
    call(EXIT, 127, 0, 0, 0, 0);
  }
  find_folder(words[0]);
  u64 ending = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14, before = 0; // HUP, INT, QUIT, TERM
  call(SIGPROCMASK, SIG_BLOCK, (i64)&ending, (i64)&before, 8, 0);
  int signals = (int)call(SIGNALFD4, -1, (i64)&ending, 8, O_CLOEXEC, 0);
  wait_for_network(signals);
  call(SIGPROCMASK, SIG_SETMASK, (i64)&before, 0, 8, 0);
  become(words + 1, environment);
}
