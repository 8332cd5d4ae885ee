// SPDX-License-Identifier: Apache-2.0
// From the word an operator writes to one network namespace. `/path` is a bind-mounted namespace; `container:`, `netns:` and `pid:` name the
// kind; a bare word is looked up as container, as named namespace and, when it is a number, as process. Several answers that mean the same
// namespace are one (a container's PID); several that do not are refused, never guessed.
import { errorText, UserError } from "../runtime/errors.ts";
import type { Container, ContainerRuntime, Namespaces, NetnsRef } from "./ports.ts";

export interface Target {
  /** Full container id, `netns:/run/netns/web`, `pid:123`. */
  readonly owner: string;
  readonly name: string;
  readonly netns: NetnsRef;
  /** Names the host end of the pair; undefined for a namespace without a known process. */
  readonly pid: number | undefined;
  readonly container: Container | undefined;
}

/** A VM's tap, named by the operator. */
export interface TapTarget {
  readonly tap: string;
}

/** The name under which addresses are held. */
export function ownerOf(target: Target | TapTarget): string {
  return "tap" in target ? `tap:${target.tap}` : target.owner;
}

/** A word that means something which has no namespace now. */
export interface Idle {
  readonly owner: string;
  readonly name: string;
  /** `is not running` */
  readonly why: string;
}

interface Ports {
  readonly runtime: ContainerRuntime;
  readonly namespaces: Namespaces;
}

/** Finds what `word` means. @throws {UserError} not-found, conflict (ambiguous), bad-request (host namespace) */
export async function findTarget(word: string, ports: Ports): Promise<Target | Idle> {
  const found = await candidates(word, ports);
  const [first, ...others] = found;
  if (!first) throw unknown(word, undefined);
  const rival = others.find((other) => netnsId(other) !== netnsId(first) || netnsId(first) === undefined);
  if (rival) {
    throw new UserError(
      "conflict",
      `'${word}' is ambiguous: ${describe(first)} and ${describe(rival)}`,
      `write ${spelling(first, word)} or ${spelling(rival, word)}`,
    );
  }
  if ("netns" in first && first.netns.id === ports.namespaces.host().id) {
    throw new UserError(
      "bad-request",
      `cannot attach ${describe(first)}: it is in the host's network namespace`,
      "the host itself gets an address with: weave expose",
    );
  }
  return first;
}

async function candidates(word: string, ports: Ports): Promise<(Target | Idle)[]> {
  const prefix = /^(container|netns|pid):(.*)$/.exec(word);
  const name = prefix?.[2] ?? word;
  switch (prefix?.[1]) {
    case "container":
      return present(await container(name, ports));
    case "netns":
      return present(name.startsWith("/") ? path(name, ports) : named(name, ports));
    case "pid":
      return present(process(name, ports));
  }
  if (word.startsWith("/")) return present(path(word, ports));
  const others = present(named(word, ports), process(word, ports));
  try {
    return [...present(await container(word, ports)), ...others];
  } catch (thrown) {
    // Without a runtime the word can still be a namespace or a process; only if it is neither does the runtime matter.
    if (others.length > 0 && thrown instanceof UserError && thrown.code === "unavailable") return others;
    if (thrown instanceof UserError && thrown.code === "unavailable") throw unknown(word, thrown);
    throw thrown;
  }
}

function present<Item>(...items: (Item | undefined)[]): Item[] {
  return items.filter((item) => item !== undefined);
}

async function container(word: string, { runtime, namespaces }: Ports): Promise<Target | Idle | undefined> {
  const container = await runtime.inspect(word);
  if (!container) return undefined;
  const { id: owner, name, pid } = container;
  if (!container.running || pid === 0) return { owner, name, why: "is not running" };
  const netns = namespaces.process(pid);
  if (!netns) return { owner, name, why: "has just stopped" };
  return { owner, name, netns, pid, container };
}

function named(name: string, { namespaces }: Ports): Target | undefined {
  const netns = /^[^/\s]{1,255}$/.test(name) && name !== "." && name !== ".." ? namespaces.named(name) : undefined;
  return netns && { owner: `netns:${netns.path}`, name, netns, pid: undefined, container: undefined };
}

function path(name: string, { namespaces }: Ports): Target {
  const netns = namespaces.at(name);
  if (!netns) {
    throw new UserError(
      "not-found",
      `'${name}' is not a network namespace`,
      "give a path such as /run/netns/web or /proc/123/ns/net",
    );
  }
  return { owner: `netns:${name}`, name, netns, pid: undefined, container: undefined };
}

function process(word: string, { namespaces }: Ports): Target | undefined {
  if (!/^[1-9]\d{0,9}$/.test(word)) return undefined;
  const pid = Number(word);
  const netns = namespaces.process(pid);
  return netns && { owner: `pid:${pid}`, name: word, netns, pid, container: undefined };
}

function netnsId(found: Target | Idle): string | undefined {
  return "netns" in found ? found.netns.id : undefined;
}

function describe(found: Target | Idle): string {
  if (found.owner.startsWith("netns:")) return `network namespace '${found.name}'`;
  if (found.owner.startsWith("pid:")) return `process ${found.name}`;
  return `container '${found.name}'`;
}

function spelling(found: Target | Idle, word: string): string {
  const kind = /^(netns|pid):/.exec(found.owner)?.[1] ?? "container";
  return `${kind}:${word}`;
}

function unknown(word: string, cause: UserError | undefined): UserError {
  const because = cause ? ` (${errorText(cause)})` : "";
  return new UserError(
    "not-found",
    `no container, network namespace or process '${word}'${because}`,
    cause?.hint || "see 'docker ps' and 'ip netns list'; a namespace can also be given by its path",
    cause ? { cause } : undefined,
  );
}
