// SPDX-License-Identifier: Apache-2.0
// libpcap's functions and structures (pcap/pcap.h, pcap/bpf.h).
import { lazyLibrary } from "../ffi.ts";

export const libpcap = lazyLibrary({
  sonames: ["libpcap.so.0.8", "libpcap.so.1"],
  packages: { deb: "libpcap0.8", rpm: "libpcap" },
  symbols: {
    pcap_create: { args: ["cstring", "ptr"], returns: "ptr" }, // pcap_t *pcap_create(const char *, char *errbuf)
    pcap_set_snaplen: { args: ["ptr", "i32"], returns: "i32" }, // int pcap_set_snaplen(pcap_t *, int)
    pcap_set_promisc: { args: ["ptr", "i32"], returns: "i32" }, // int pcap_set_promisc(pcap_t *, int)
    pcap_set_immediate_mode: { args: ["ptr", "i32"], returns: "i32" }, // int pcap_set_immediate_mode(pcap_t *, int)
    pcap_set_buffer_size: { args: ["ptr", "i32"], returns: "i32" }, // int pcap_set_buffer_size(pcap_t *, int)
    pcap_activate: { args: ["ptr"], returns: "i32" }, // int pcap_activate(pcap_t *)
    pcap_setnonblock: { args: ["ptr", "i32", "ptr"], returns: "i32" }, // int pcap_setnonblock(pcap_t *, int, char *errbuf)
    pcap_setdirection: { args: ["ptr", "i32"], returns: "i32" }, // int pcap_setdirection(pcap_t *, pcap_direction_t)
    pcap_datalink: { args: ["ptr"], returns: "i32" }, // int pcap_datalink(pcap_t *)
    pcap_compile: { args: ["ptr", "ptr", "cstring", "i32", "u32"], returns: "i32" }, // int pcap_compile(pcap_t *, struct bpf_program *, const char *, int, bpf_u_int32)
    pcap_setfilter: { args: ["ptr", "ptr"], returns: "i32" }, // int pcap_setfilter(pcap_t *, struct bpf_program *)
    pcap_freecode: { args: ["ptr"], returns: "void" }, // void pcap_freecode(struct bpf_program *)
    pcap_next_ex: { args: ["ptr", "ptr", "ptr"], returns: "i32" }, // int pcap_next_ex(pcap_t *, struct pcap_pkthdr **, const u_char **)
    pcap_dispatch: { args: ["ptr", "i32", "ptr", "ptr"], returns: "i32" }, // int pcap_dispatch(pcap_t *, int, pcap_handler, u_char *)
    pcap_inject: { args: ["ptr", "ptr", "u64"], returns: "i32" }, // int pcap_inject(pcap_t *, const void *, size_t)
    pcap_stats: { args: ["ptr", "ptr"], returns: "i32" }, // int pcap_stats(pcap_t *, struct pcap_stat *)
    pcap_get_selectable_fd: { args: ["ptr"], returns: "i32" }, // int pcap_get_selectable_fd(pcap_t *)
    pcap_geterr: { args: ["ptr"], returns: "ptr" }, // char *pcap_geterr(pcap_t *)
    pcap_statustostr: { args: ["i32"], returns: "ptr" }, // const char *pcap_statustostr(int)
    pcap_close: { args: ["ptr"], returns: "void" }, // void pcap_close(pcap_t *)
  },
});

export const PCAP_ERRBUF_SIZE = 256;
export const DLT_EN10MB = 1;
/** pcap_direction_t */
export const PCAP_D = { inout: 0, in: 1, out: 2 } as const;
/** struct pcap_pkthdr, 64-bit machines. */
export const PCAP_PKTHDR = { size: 24, seconds: 0, microseconds: 8, captured: 16, length: 20 } as const;
/** struct bpf_program */
export const BPF_PROGRAM = { size: 16 } as const;
/** struct pcap_stat */
export const PCAP_STAT = { size: 12, received: 0, dropped: 4 } as const;
