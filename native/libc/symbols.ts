// SPDX-License-Identifier: Apache-2.0
// The C library's calls that Bun does not offer, with their prototypes. Variadic ones (open, fcntl, ioctl, prctl) are called with integer
// or pointer arguments only, which the x86-64 and arm64 Linux ABIs pass like ordinary ones.
import { FFIType } from "bun:ffi";
import { lazyLibrary } from "../ffi.ts";

export const libc = lazyLibrary({
  sonames: ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
  packages: { deb: "libc6", rpm: "glibc" },
  symbols: {
    open: { args: ["cstring", "i32", "u32"], returns: "i32" }, // int open(const char *, int, mode_t)
    close: { args: ["i32"], returns: "i32" }, // int close(int)
    read: { args: ["i32", "ptr", "u64"], returns: FFIType.i64_fast }, // ssize_t read(int, void *, size_t)
    write: { args: ["i32", "ptr", "u64"], returns: FFIType.i64_fast }, // ssize_t write(int, const void *, size_t)
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" }, // int fcntl(int, int, ...)
    flock: { args: ["i32", "i32"], returns: "i32" }, // int flock(int, int)
    poll: { args: ["ptr", "u64", "i32"], returns: "i32" }, // int poll(struct pollfd *, nfds_t, int)
    epoll_create1: { args: ["i32"], returns: "i32" }, // int epoll_create1(int)
    epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" }, // int epoll_ctl(int, int, int, struct epoll_event *)
    epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" }, // int epoll_wait(int, struct epoll_event *, int, int)
    statx: { args: ["i32", "cstring", "i32", "u32", "ptr"], returns: "i32" }, // int statx(int, const char *, int, unsigned, struct statx *)
    setxattr: { args: ["cstring", "cstring", "ptr", "u64", "i32"], returns: "i32" }, // int setxattr(const char *, const char *, const void *, size_t, int)
    fstatfs: { args: ["i32", "ptr"], returns: "i32" }, // int fstatfs(int, struct statfs *)
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" }, // int ioctl(int, unsigned long, ...)
    socket: { args: ["i32", "i32", "i32"], returns: "i32" }, // int socket(int, int, int)
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" }, // int bind(int, const struct sockaddr *, socklen_t)
    connect: { args: ["i32", "ptr", "u32"], returns: "i32" }, // int connect(int, const struct sockaddr *, socklen_t)
    getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" }, // int getsockname(int, struct sockaddr *, socklen_t *)
    sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: FFIType.i64_fast }, // ssize_t sendto(int, const void *, size_t, int, const struct sockaddr *, socklen_t)
    recvfrom: { args: ["i32", "ptr", "u64", "i32", "ptr", "ptr"], returns: FFIType.i64_fast }, // ssize_t recvfrom(int, void *, size_t, int, struct sockaddr *, socklen_t *)
    sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" }, // int sendmmsg(int, struct mmsghdr *, unsigned, int)
    recvmmsg: { args: ["i32", "ptr", "u32", "i32", "ptr"], returns: "i32" }, // int recvmmsg(int, struct mmsghdr *, unsigned, int, struct timespec *)
    socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" }, // int socketpair(int, int, int, int[2])
    memmove: { args: ["ptr", "ptr", "usize"], returns: "void" }, // void *memmove(void *, const void *, size_t)
    if_nametoindex: { args: ["cstring"], returns: "i32" }, // unsigned if_nametoindex(const char *)
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" }, // int setsockopt(int, int, int, const void *, socklen_t)
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" }, // int getsockopt(int, int, int, void *, socklen_t *)
    memfd_create: { args: ["cstring", "u32"], returns: "i32" }, // int memfd_create(const char *, unsigned)
    setns: { args: ["i32", "i32"], returns: "i32" }, // int setns(int, int)
    unshare: { args: ["i32"], returns: "i32" }, // int unshare(int)
    geteuid: { args: [], returns: "u32" }, // uid_t geteuid(void)
    umask: { args: ["u32"], returns: "u32" }, // mode_t umask(mode_t)
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" }, // int prctl(int, ...)
    capget: { args: ["ptr", "ptr"], returns: "i32" }, // int capget(cap_user_header_t, cap_user_data_t)
    madvise: { args: ["ptr", "u64", "i32"], returns: "i32" }, // int madvise(void *, size_t, int)
    adjtimex: { args: ["ptr"], returns: "i32" }, // int adjtimex(struct timex *)
    abort: { args: [], returns: "void" }, // void abort(void)
  },
});
