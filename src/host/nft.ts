// SPDX-License-Identifier: Apache-2.0
// Our nftables table on this machine. The table is written whole, in one transaction, and then listed: what the kernel shows is kept, and compared
// with what it shows later, so a foreign flush or edit is noticed without understanding it. Commands touch this one table only and take
// well under a millisecond beside 20,000 foreign rules (the first one up to 25 ms), so they run on the caller's thread.
import { isSystemError } from "../../native/errno.ts";
import { MissingLibraryError } from "../../native/ffi.ts";
import { Nft, type NftAnswer } from "../../native/libnftables/nft.ts";
import type { Firewall } from "../expose/exposure.ts";
import { droppingForwardChains, type Ruleset, renderRuleset, TABLE } from "../firewall/ruleset.ts";
import { UserError } from "../runtime/errors.ts";
import { enterNetns, type Netns } from "./netns.ts";

export class NftFirewall implements Firewall, Disposable {
  /** Namespace whose packet filter it is; undefined: the calling thread's. */
  readonly #home: Netns | undefined;
  #nft: Nft | undefined;
  #written: { readonly text: string; readonly listing: string } | undefined;
  /** There is no table of ours, and only we make one: nothing to look after until something is wanted. */
  #isEmpty = false;

  constructor(options: { home?: Netns } = {}) {
    this.#home = options.home;
  }
  [Symbol.dispose](): void {
    this.#nft?.[Symbol.dispose]();
    this.#nft = undefined;
  }

  async apply(ruleset: Ruleset): Promise<readonly string[]> {
    if (ruleset.chains.length === 0) return this.#clear();
    this.#isEmpty = false;
    const text = renderRuleset(ruleset);
    const before = this.#list();
    if (this.#written?.text === text && this.#written.listing === before) return [];
    this.#mustRun(text);
    const after = this.#list();
    this.#written = { text, listing: after };
    return after === before ? [] : [`firewall: table '${TABLE}' written`];
  }

  #clear(): readonly string[] {
    if (this.#isEmpty || !this.#isInstalled()) return [];
    const wasThere = this.#list() !== "";
    if (wasThere) this.#mustRun(renderRuleset({ chains: [] }));
    this.#written = undefined;
    this.#isEmpty = true;
    this[Symbol.dispose](); // the library is not needed meanwhile
    return wasThere ? [`firewall: table '${TABLE}' removed`] : [];
  }

  async droppingChains(): Promise<readonly string[]> {
    return this.#isInstalled() ? droppingForwardChains(this.#run("list chains").output) : [];
  }

  /** `chain` as the kernel shows it, for example `ip filter FORWARD`; empty when there is none. */
  listChain(chain: string): string {
    return this.#isInstalled() ? this.#run(`list chain ${chain}`).output : "";
  }

  /** The table as the kernel shows it; empty when there is none. */
  #list(): string {
    return this.#run(`list table ${TABLE}`).output;
  }

  #mustRun(commands: string): void {
    const { ok, error } = this.#run(commands);
    if (ok) return;
    const [what = "refused"] = error.split("\n");
    throw new UserError(
      "unavailable",
      `cannot write the firewall table '${TABLE}': ${what.replace(/^Error: /, "")}`,
      "the kernel needs nf_tables with NAT; without them: weave expose --without-masquerade",
    );
  }

  #run(commands: string): NftAnswer {
    this.#nft ??= this.#open();
    return this.#nft.run(commands);
  }

  #open(): Nft {
    using _inside = this.#home && enterNetns(this.#home);
    try {
      return Nft.open();
    } catch (thrown) {
      if (isSystemError(thrown, "EPROTONOSUPPORT")) {
        const hint = "load the modules nfnetlink and nf_tables, or use weave expose --without-masquerade";
        throw new UserError("unavailable", "cannot masquerade: this kernel has no nf_tables", hint, { cause: thrown });
      }
      if (!(thrown instanceof MissingLibraryError)) throw thrown;
      const hint = `install ${thrown.packages}, or use weave expose --without-masquerade`;
      throw new UserError("unavailable", "cannot masquerade: libnftables is not installed", hint, { cause: thrown });
    }
  }

  #isInstalled(): boolean {
    try {
      this.#nft ??= this.#open();
      return true;
    } catch (thrown) {
      if (thrown instanceof UserError) return false;
      throw thrown;
    }
  }
}
