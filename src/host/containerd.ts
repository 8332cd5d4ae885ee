// SPDX-License-Identifier: Apache-2.0
// Containers of containerd, started by nerdctl, ctr, Kubernetes or k3s: found by their tasks' state directories (containerd,
// core/runtime/v2/bundle.go: STATE/io.containerd.runtime.v2.task/NAMESPACE/ID with init.pid and the OCI config.json) and by nerdctl's name store
// (nerdctl, pkg/namestore: ROOT/names/NAMESPACE/NAME holds the id). Docker's own are left to Docker.
import { readdirSync } from "node:fs";
import type { Container, ContainerRuntime } from "../attach/ports.ts";
import { UserError } from "../runtime/errors.ts";
import { readIfThere } from "./small-file.ts";

const STATES = ["/run/containerd", "/run/k3s/containerd"];
const TASKS = "io.containerd.runtime.v2.task";
const NERDCTL = "/var/lib/nerdctl";
/** Docker keeps its containers' tasks there. */
const OF_DOCKER = ["moby", "plugins.moby"];
/** identifiers.Validate of containerd: letters, digits and single . _ - between them, at most 76. */
const ID = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;
const ID_LENGTH_MAX = 76;
const PREFIX = "containerd:";

interface Task {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
}

/** By id, by the beginning of one, by nerdctl's name, each after `NAMESPACE/` where that is needed; `containerd:` may stand before it. */
export class Containerd implements ContainerRuntime {
  readonly #states: readonly string[];
  readonly #nerdctl: string;
  constructor(states: readonly string[] = STATES, nerdctl = NERDCTL) {
    this.#states = states;
    this.#nerdctl = nerdctl;
  }

  async inspect(word: string): Promise<Container | undefined> {
    const parts = (word.startsWith(PREFIX) ? word.slice(PREFIX.length) : word).split("/");
    const wanted = parts.pop() ?? "";
    const [namespace, ...rest] = parts;
    if (rest.length > 0 || !isIdentifier(wanted)) return undefined;
    const tasks = this.#states.flatMap(tasksIn).filter((task) => namespace === undefined || task.namespace === namespace);
    const named = this.#idsOf(wanted);
    const exact = tasks.filter((task) => task.id === wanted || named.has(fullName(task)));
    const [task, ...others] = exact.length > 0 ? exact : tasks.filter(({ id }) => id.startsWith(wanted));
    if (!task) return undefined;
    if (others.length === 0) return containerOf(task, named.has(fullName(task)) ? wanted : task.id);
    const all = [task, ...others].map(fullName).sort();
    throw new UserError(
      "conflict",
      `'${word}' fits several containers of containerd: ${all.join(", ")}`,
      `write for example ${PREFIX}${all[0]}`,
    );
  }

  /** `NAMESPACE/ID` of those that nerdctl calls `name`. */
  #idsOf(name: string): ReadonlySet<string> {
    const ids = entries(this.#nerdctl).flatMap((store) =>
      entries(`${this.#nerdctl}/${store}/names`).flatMap((namespace) => {
        const id = readIfThere(`${this.#nerdctl}/${store}/names/${namespace}/${name}`)?.trim();
        return id ? [`${namespace}/${id}`] : [];
      }),
    );
    return new Set(ids);
  }
}

function isIdentifier(word: string): boolean {
  return word.length <= ID_LENGTH_MAX && ID.test(word);
}
function fullName({ namespace, id }: Task): string {
  return `${namespace}/${id}`;
}

function tasksIn(state: string): readonly Task[] {
  const root = `${state}/${TASKS}`;
  return entries(root)
    .filter((namespace) => !OF_DOCKER.includes(namespace))
    .flatMap((namespace) =>
      entries(`${root}/${namespace}`).map((id) => ({ namespace, id, bundle: `${root}/${namespace}/${id}` })),
    );
}

function containerOf(task: Task, name: string): Container {
  const { bundle } = task;
  const pid = Number(/^[1-9]\d{0,9}$/.exec(readIfThere(`${bundle}/init.pid`)?.trim() ?? "")?.[0] ?? 0);
  const hostname = hostnameIn(readIfThere(`${bundle}/config.json`)) ?? name;
  return {
    id: `${PREFIX}${fullName(task)}`,
    name,
    pid,
    running: pid !== 0,
    hostNetwork: false,
    hostname,
    domain: "",
    hostsFile: undefined,
  };
}

/** Of an OCI runtime configuration; undefined: it says none. */
function hostnameIn(config: string | undefined): string | undefined {
  try {
    const parsed: unknown = JSON.parse(config ?? "{}");
    const hostname = typeof parsed === "object" && parsed !== null && "hostname" in parsed ? parsed.hostname : undefined;
    return typeof hostname === "string" && hostname !== "" ? hostname : undefined;
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return undefined; // being written
    throw thrown;
  }
}

function entries(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // that program is not there
  }
}
