// SPDX-License-Identifier: Apache-2.0
// Containers whose program waits for the network are attached at each start, whoever started them: a client of the proxy, a restart policy, Docker itself
// after a boot. What is to be done is read from Docker each time, so nothing depends on having seen an event.
//
//   (unknown) ──start──▶ attaching ──▶ attached until its end
//                            └─ fails ─▶ a client started it: killed, the client hears why; else it waits on and is tried again
import type { AttachRequest, AttachResult } from "../attach/attacher.ts";
import { parseHostsEntry } from "../attach/hosts-file.ts";
import type { ContainerDetails } from "../docker/details.ts";
import { parseIp } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText, InvariantError, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { waiterFolderOf, wantedAddresses } from "./rules.ts";

/** Docker tells of a start before there is a process. */
const POLL_MS = 100;
const POLLS = 50;
const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 60_000;
/** Containers a look asks Docker about at one time. */
const AT_ONCE = 32;

export interface StartsPorts {
  /** undefined: there is no such container. @throws {UserError} Docker does not answer, or cannot tell which one is meant */
  details(word: string): Promise<ContainerDetails | undefined>;
  running(): Promise<readonly { readonly id: string }[]>;
  /** Through Docker, so that no restart policy starts it again. */
  kill(id: string): Promise<void>;
  /** Content of a container's hosts file; empty when it cannot be read. */
  readHosts(path: string): string;
  attach(request: AttachRequest, signal?: AbortSignal): Promise<AttachResult>;
  readonly clock: Clock;
  readonly log: Log;
}
export interface StartsOptions {
  readonly noRewriteHosts: boolean;
  readonly noMulticastRoute: boolean;
  readonly withoutDns: boolean;
}

export class Starts implements Disposable {
  readonly #options: StartsOptions;
  readonly #ports: StartsPorts;
  /** Id and start of what is attached, or is being. */
  readonly #known = new Map<string, { readonly startedAt: string; readonly done: Promise<void> }>();
  /** Containers that clients are starting now: they hear of a failure, nobody else has to act. */
  readonly #awaited = new Map<string, number>();
  #retryMs = FIRST_RETRY_MS;
  #retry: Disposable | undefined;
  #isLooking = false;
  #lookAgain = false;
  #isStopped = false;

  constructor(options: StartsOptions, ports: StartsPorts) {
    this.#options = options;
    this.#ports = ports;
  }
  [Symbol.dispose](): void {
    this.#isStopped = true;
    this.#retry?.[Symbol.dispose]();
  }

  /** A client is about to start this one; until disposed. */
  await(id: string): Disposable {
    this.#awaited.set(id, (this.#awaited.get(id) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#awaited.get(id) ?? 1) - 1;
        if (left > 0) this.#awaited.set(id, left);
        else this.#awaited.delete(id);
      },
    };
  }

  /** Returns when the container, which a client has started, is attached or needs not be. @throws {UserError} it cannot be; then it was killed */
  async started(id: string): Promise<void> {
    const details = await this.#ports.details(id);
    if (!details || !isOurs(details)) return;
    if (!details.running) return; // it has run to its end, or was ended by somebody, who knows
    try {
      await this.#attached(details);
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      if (!(await this.#stillRuns(details))) return;
      await this.#kill(details);
      throw thrown;
    }
  }

  /** Waits for an attach that is under way, or missing, so that a further program of the container finds the network. Never throws. */
  async settle(word: string): Promise<void> {
    try {
      const details = await this.#ports.details(word);
      if (details?.running && isOurs(details)) await this.#attached(details);
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown; // who cannot be attached can still be looked into
    }
  }

  /** Docker tells of a start. What cannot be attached goes on waiting and is tried again. Never throws. */
  async heard(id: string): Promise<void> {
    try {
      const details = await this.#whenRunning(id);
      if (!details || this.#isStopped || !isOurs(details)) return;
      await this.#attached(details);
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      if (this.#isStopped || this.#awaited.has(id)) return; // who started it hears of it, and nobody else has to act
      this.#tellWaiting(id, thrown);
      this.#tryAgainLater();
    }
  }

  /** Docker tells of an end. */
  ended(id: string): void {
    this.#known.delete(id);
  }

  /** Looks at everything that runs: what was started while nobody listened is attached. What cannot be is tried again later. Never throws. */
  async look(): Promise<void> {
    this.#lookAgain = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    let failed = false;
    while (this.#lookAgain && !this.#isStopped) {
      this.#lookAgain = false;
      failed = await this.#all();
    }
    this.#isLooking = false;
    if (failed) this.#tryAgainLater();
    else this.#retryMs = FIRST_RETRY_MS;
  }

  #tryAgainLater(): void {
    this.#retry?.[Symbol.dispose]();
    if (this.#isStopped) return;
    this.#retry = this.#ports.clock.after(this.#retryMs, () => void this.look());
    this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 1.5);
  }

  #tellWaiting(id: string, thrown: unknown): void {
    this.#ports.log.warn("container waits to be attached", { container: id.slice(0, 12), reason: errorText(thrown) });
  }

  /** Tells whether something could not be attached. */
  async #all(): Promise<boolean> {
    try {
      const ids = (await this.#ports.running()).map(({ id }) => id);
      const running = new Set(ids);
      for (const id of this.#known.keys()) if (!running.has(id)) this.#known.delete(id);
      let failed = false;
      for (let at = 0; at < ids.length && !this.#isStopped; at += AT_ONCE) {
        const results = await Promise.all(ids.slice(at, at + AT_ONCE).map((id) => this.#found(id)));
        failed ||= results.includes(false);
      }
      return failed;
    } catch (thrown) {
      if (thrown instanceof UserError) return false; // Docker is away; its return is told
      throw thrown;
    }
  }

  async #found(id: string): Promise<boolean> {
    try {
      const details = await this.#ports.details(id);
      if (details?.running && isOurs(details)) await this.#attached(details);
      return true;
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      this.#tellWaiting(id, thrown);
      return false;
    }
  }

  async #whenRunning(id: string): Promise<ContainerDetails | undefined> {
    for (let poll = 0; ; poll++) {
      const details = await this.#ports.details(id);
      if (!details || (details.running && details.pid > 0) || poll >= POLLS || this.#isStopped)
        return details?.running ? details : undefined;
      await new Promise<void>((resolve) => void this.#ports.clock.after(POLL_MS, resolve));
    }
  }

  /** Once for each start. */
  #attached(details: ContainerDetails): Promise<void> {
    const known = this.#known.get(details.id);
    if (known?.startedAt === details.startedAt) return known.done;
    const done = this.#attach(details);
    this.#known.set(details.id, { startedAt: details.startedAt, done });
    done.catch(() => {
      if (this.#known.get(details.id)?.done === done) this.#known.delete(details.id);
    });
    return done;
  }

  async #attach(details: ContainerDetails): Promise<void> {
    const { noMulticastRoute, noRewriteHosts, withoutDns } = this.#options;
    const addresses = wantedAddresses(details.networkMode, details.environment, { noDefaultIpalloc: false });
    if (!addresses) return; // made past the proxy, of an image of ours
    const { warnings } = await this.#ports.attach({
      target: `container:${details.id}`,
      addresses,
      multicastRoute: !noMulticastRoute,
      rewriteHosts: !noRewriteHosts,
      addHosts: noRewriteHosts ? [] : this.#extraHosts(details),
      withoutDns,
    });
    for (const warning of warnings) this.#ports.log.warn("container was attached", { container: details.name, reason: warning });
  }

  /** `name:ip` of each entry; what Docker has made of a word in place of an address stands in the file as it is now. */
  #extraHosts({ extraHosts, hostsFile }: ContainerDetails): readonly string[] {
    return extraHosts.flatMap((entry) => {
      const [, name = "", address = ""] = /^([^:=]+)[:=](.*)$/.exec(entry) ?? [];
      if (parseIp(address) !== undefined) return hostsEntry(name, address);
      const lines = hostsFile === "" ? [] : this.#ports.readHosts(hostsFile).split("\n");
      const words = lines.map((line) => line.trim().split(/\s+/)).find((line) => line.slice(1).includes(name));
      return hostsEntry(name, words?.[0] ?? "");
    });
  }

  async #stillRuns({ id, startedAt }: ContainerDetails): Promise<boolean> {
    const now = await this.#ports.details(id);
    return now?.running === true && now.startedAt === startedAt;
  }

  async #kill({ id, name }: ContainerDetails): Promise<void> {
    try {
      await this.#ports.kill(id);
    } catch (thrown) {
      this.#ports.log.warn("container cannot be killed", { container: name, reason: errorText(thrown) });
    }
  }
}

/** Its program waits. */
function isOurs({ entrypoint }: ContainerDetails): boolean {
  return waiterFolderOf(entrypoint) !== undefined;
}

/** None when it is not one that attach takes. */
function hostsEntry(name: string, address: string): readonly string[] {
  try {
    parseHostsEntry(`${name}:${address}`);
    return [`${name}:${address}`];
  } catch {
    return [];
  }
}
