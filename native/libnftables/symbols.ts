// SPDX-License-Identifier: Apache-2.0
// libnftables: the library behind nft(8), which takes its language as text (nftables/libnftables.h).
import { lazyLibrary } from "../ffi.ts";

/** Required prototypes; those here exist since nftables 0.9. */
export const libnftables = lazyLibrary({
  sonames: ["libnftables.so.1"],
  packages: { deb: "libnftables1", rpm: "nftables" },
  symbols: {
    nft_ctx_new: { args: ["u32"], returns: "ptr" }, // struct nft_ctx *nft_ctx_new(uint32_t flags)
    nft_ctx_free: { args: ["ptr"], returns: "void" }, // void nft_ctx_free(struct nft_ctx *)
    nft_ctx_buffer_output: { args: ["ptr"], returns: "i32" }, // int nft_ctx_buffer_output(struct nft_ctx *)
    nft_ctx_buffer_error: { args: ["ptr"], returns: "i32" }, // int nft_ctx_buffer_error(struct nft_ctx *)
    nft_ctx_get_output_buffer: { args: ["ptr"], returns: "ptr" }, // const char *nft_ctx_get_output_buffer(struct nft_ctx *)
    nft_ctx_get_error_buffer: { args: ["ptr"], returns: "ptr" }, // const char *nft_ctx_get_error_buffer(struct nft_ctx *)
    nft_ctx_output_set_flags: { args: ["ptr", "u32"], returns: "void" }, // void nft_ctx_output_set_flags(struct nft_ctx *, unsigned int)
    nft_run_cmd_from_buffer: { args: ["ptr", "ptr"], returns: "i32" }, // int nft_run_cmd_from_buffer(struct nft_ctx *, const char *)
  },
});
