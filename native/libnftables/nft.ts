// SPDX-License-Identifier: Apache-2.0
// One conversation with the kernel's packet filter, in nft's language. A context belongs to the network namespace of the thread that made it.
// A command can take milliseconds (the kernel waits for every CPU), so callers that must not wait keep it off their thread.
import { type Address, cString, stringAt } from "../ffi.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";
import { libnftables } from "./symbols.ts";

const NFT_CTX_DEFAULT = 0;
const NFT_CTX_OUTPUT_STATELESS = 1 << 2; // counters and timeouts are left out of listings
const NFT_CTX_OUTPUT_JSON = 1 << 4; // libnftables-json(5)
const OUTPUT_LIMIT = 16 * 2 ** 20;

export interface NftAnswer {
  /** All commands were carried out; false: none was. */
  readonly ok: boolean;
  /** What `list` commands printed. */
  readonly output: string;
  /** nft's own words about what is wrong; empty when nothing is. */
  readonly error: string;
}

export class Nft implements Disposable {
  #context: Address | null; // struct nft_ctx *, null once closed

  private constructor(context: Address) {
    this.#context = context;
  }

  /** @param output how listings are written  @throws {MissingLibraryError} libnftables is not installed
   *  @throws {SystemError} EPROTONOSUPPORT: the kernel has no such packet filter */
  static open(output: "text" | "json" = "text"): Nft {
    // Asked before the library does, which ends the whole process when it gets no socket (netlink_init_error in its mnl.c).
    NetlinkSocket.open(NETLINK_NETFILTER)[Symbol.dispose]();
    const { symbols: lib } = libnftables();
    const context = lib.nft_ctx_new(NFT_CTX_DEFAULT);
    if (context === null) throw new Error("nft_ctx_new: out of memory");
    lib.nft_ctx_buffer_output(context);
    lib.nft_ctx_buffer_error(context);
    lib.nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_STATELESS | (output === "json" ? NFT_CTX_OUTPUT_JSON : 0));
    return new Nft(context);
  }

  /** Runs commands as one transaction. A refusal is an answer, not an exception. @throws {TypeError} closed */
  run(commands: string): NftAnswer {
    const context = this.#context;
    if (context === null) throw new TypeError("the nftables context is closed");
    const { symbols: lib } = libnftables();
    const ok = lib.nft_run_cmd_from_buffer(context, cString(commands)) === 0;
    // Both getters end the text and begin a new buffer, so each is called exactly once per command.
    return {
      ok,
      output: textOf(lib.nft_ctx_get_output_buffer(context)),
      error: textOf(lib.nft_ctx_get_error_buffer(context)).trim(),
    };
  }

  [Symbol.dispose](): void {
    if (this.#context !== null) libnftables().symbols.nft_ctx_free(this.#context);
    this.#context = null;
  }
}

function textOf(address: Address | null): string {
  return address === null ? "" : stringAt(address, OUTPUT_LIMIT);
}
