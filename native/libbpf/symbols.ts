// SPDX-License-Identifier: Apache-2.0
// libbpf (1.0 or later) by its versioned name. Since 1.0 calls return -errno, or NULL with errno set.
import { type Address, type Bytes, lazyLibrary } from "../ffi.ts";
import { ownLibbpf } from "./own-copy.ts";

export const libbpf = lazyLibrary({
  sonames: ["libbpf.so.1"],
  packages: { deb: "libbpf1", rpm: "libbpf" },
  ownCopy: ownLibbpf,
  symbols: {
    libbpf_set_print: { args: ["ptr"], returns: "ptr" }, // libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t)
    libbpf_num_possible_cpus: { args: [], returns: "i32" }, // int libbpf_num_possible_cpus(void)
    bpf_object__open_mem: { args: ["ptr", "u64", "ptr"], returns: "ptr" }, // struct bpf_object *bpf_object__open_mem(const void *, size_t, const struct bpf_object_open_opts *)
    bpf_object__load: { args: ["ptr"], returns: "i32" }, // int bpf_object__load(struct bpf_object *)
    bpf_object__close: { args: ["ptr"], returns: "void" }, // void bpf_object__close(struct bpf_object *)
    bpf_object__next_map: { args: ["ptr", "ptr"], returns: "ptr" }, // struct bpf_map *bpf_object__next_map(const struct bpf_object *, const struct bpf_map *)
    bpf_object__find_program_by_name: { args: ["ptr", "cstring"], returns: "ptr" }, // struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *, const char *)
    bpf_map__name: { args: ["ptr"], returns: "ptr" }, // const char *bpf_map__name(const struct bpf_map *)
    bpf_map__fd: { args: ["ptr"], returns: "i32" }, // int bpf_map__fd(const struct bpf_map *)
    bpf_map__set_pin_path: { args: ["ptr", "cstring"], returns: "i32" }, // int bpf_map__set_pin_path(struct bpf_map *, const char *)
    bpf_program__fd: { args: ["ptr"], returns: "i32" }, // int bpf_program__fd(const struct bpf_program *)
    bpf_map_update_elem: { args: ["i32", "ptr", "ptr", "u64"], returns: "i32" }, // int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
    bpf_map_lookup_elem: { args: ["i32", "ptr", "ptr"], returns: "i32" }, // int bpf_map_lookup_elem(int fd, const void *key, void *value)
    bpf_map_delete_elem: { args: ["i32", "ptr"], returns: "i32" }, // int bpf_map_delete_elem(int fd, const void *key)
    bpf_map_get_next_key: { args: ["i32", "ptr", "ptr"], returns: "i32" }, // int bpf_map_get_next_key(int fd, const void *key, void *next_key)
    bpf_map_lookup_batch: { args: ["i32", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" }, // int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, __u32 *count, const struct bpf_map_batch_opts *)
    bpf_obj_get: { args: ["cstring"], returns: "i32" }, // int bpf_obj_get(const char *path)
    bpf_obj_pin: { args: ["i32", "cstring"], returns: "i32" }, // int bpf_obj_pin(int fd, const char *path)
    bpf_obj_get_info_by_fd: { args: ["i32", "ptr", "ptr"], returns: "i32" }, // int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *len)
    bpf_link_create: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" }, // int bpf_link_create(int prog_fd, int target_fd, enum bpf_attach_type, const struct bpf_link_create_opts *)
    bpf_link_update: { args: ["i32", "i32", "ptr"], returns: "i32" }, // int bpf_link_update(int link_fd, int new_prog_fd, const struct bpf_link_update_opts *)
    bpf_link_detach: { args: ["i32"], returns: "i32" }, // int bpf_link_detach(int link_fd)
    bpf_tc_hook_create: { args: ["ptr"], returns: "i32" }, // int bpf_tc_hook_create(struct bpf_tc_hook *)
    bpf_tc_hook_destroy: { args: ["ptr"], returns: "i32" }, // int bpf_tc_hook_destroy(struct bpf_tc_hook *)
    bpf_tc_attach: { args: ["ptr", "ptr"], returns: "i32" }, // int bpf_tc_attach(const struct bpf_tc_hook *, struct bpf_tc_opts *)
    bpf_tc_detach: { args: ["ptr", "ptr"], returns: "i32" }, // int bpf_tc_detach(const struct bpf_tc_hook *, const struct bpf_tc_opts *)
    bpf_tc_query: { args: ["ptr", "ptr"], returns: "i32" }, // int bpf_tc_query(const struct bpf_tc_hook *, struct bpf_tc_opts *)
  },
});

const libc = lazyLibrary({
  sonames: ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
  packages: { deb: "libc6", rpm: "glibc" },
  symbols: { vsnprintf: { args: ["ptr", "u64", "ptr", "ptr"], returns: "i32" } }, // int vsnprintf(char *, size_t, const char *, va_list)
});

/** Formats what a C callback was given. A `va_list` reaches a callback as a pointer on x86-64 (it is an array) and on arm64 (it is a
 *  structure of more than 16 bytes). Returns the length without the NUL, of the whole text even if it was cut. */
export function formatInto(buffer: Bytes, format: Address, values: Address): number {
  return libc().symbols.vsnprintf(buffer, buffer.length, format, values);
}
