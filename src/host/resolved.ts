// SPDX-License-Identifier: Apache-2.0
// Tells systemd-resolved, where it runs, to ask our name server for names of our domain, for as long as we run (org.freedesktop.resolve1(5)).
// resolved keeps this per link and forgets it with the link; no file is edited. Called through busctl, which comes with systemd.
import { existsSync } from "node:fs";
import { type Ip, ipBytes } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

const RUNTIME_DIRECTORY = "/run/systemd/resolve";
const CALL_MS = 5_000;
/** Equals no plan, so that the next look tries again. */
const FAILED = "failed";
const AF_INET = 2;
const AF_INET6 = 10;

export interface ResolvedPlan {
  /** Must be up and have an address, or resolved does not use it. */
  readonly linkIndex: number;
  readonly server: { readonly host: Ip; readonly port: number };
  /** With or without its last dot. */
  readonly domain: string;
}

/** Arguments of busctl for each call that makes the plan true. */
export function resolvedCalls({ linkIndex, server, domain }: ResolvedPlan): readonly (readonly string[])[] {
  const bytes = Array.from(ipBytes(server.host), String);
  const family = bytes.length === 4 ? AF_INET : AF_INET6;
  const link = String(linkIndex);
  return [
    ["SetLinkDNSEx", "ia(iayqs)", link, "1", String(family), String(bytes.length), ...bytes, String(server.port), ""],
    ["SetLinkDomains", "ia(sb)", link, "1", domain.replace(/\.$/, ""), "true"], // for routing only, no search domain
    ["SetLinkDefaultRoute", "ib", link, "false"],
  ];
}

export class Resolved implements AsyncDisposable {
  readonly #log: Log;
  readonly #clock: Clock;
  #told = "";
  #trouble = "";
  #linkIndex: number | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(ports: { readonly log: Log; readonly clock: Clock }) {
    this.#log = ports.log;
    this.#clock = ports.clock;
  }

  /** Makes it so, when it is not known to be so; undefined takes it back. Failures are logged once and tried again by the next call. */
  apply(plan: ResolvedPlan | undefined): Promise<void> {
    this.#turn = this.#turn.then(() => this.#apply(plan));
    return this.#turn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.apply(undefined);
  }

  async #apply(plan: ResolvedPlan | undefined): Promise<void> {
    const wanted = plan && isRunning() ? plan : undefined;
    const text = JSON.stringify(wanted ?? "");
    if (text === this.#told || (this.#told === "" && !wanted)) return;
    this.#told = text;
    try {
      if (this.#linkIndex !== undefined && this.#linkIndex !== wanted?.linkIndex) await this.#revert(this.#linkIndex);
      if (!wanted) return;
      this.#linkIndex = wanted.linkIndex;
      for (const call of resolvedCalls(wanted)) await this.#call(call);
      this.#log.info("systemd-resolved asks us for names", { domain: wanted.domain });
      this.#trouble = "";
    } catch (thrown) {
      const reason = errorText(thrown);
      if (reason !== this.#trouble) this.#log.warn("systemd-resolved cannot be told of our names", { reason });
      this.#trouble = reason;
      this.#told = FAILED;
    }
  }

  async #revert(linkIndex: number): Promise<void> {
    this.#linkIndex = undefined;
    await this.#call(["RevertLink", "i", String(linkIndex)]);
  }

  async #call([method = "", ...rest]: readonly string[]): Promise<void> {
    const manager = ["org.freedesktop.resolve1", "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager"];
    const child = Bun.spawn(["busctl", "call", ...manager, method, ...rest], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    using _limit = this.#clock.after(CALL_MS, () => child.kill("SIGKILL"));
    const said = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw new Error(`${method}: ${said.trim() || "no answer"}`);
  }
}

function isRunning(): boolean {
  return existsSync(RUNTIME_DIRECTORY) && Bun.which("busctl") !== null;
}
