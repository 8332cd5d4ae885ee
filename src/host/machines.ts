// SPDX-License-Identifier: Apache-2.0
// Containers that no Docker knows, by the files in which their managers keep the process ids: machines of systemd (systemd-nspawn), and tasks of
// containerd, by id or, where nerdctl made them, by name.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Machines, MachineView } from "../attach/ports.ts";

const WORD = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;
/** The beginning of an id is enough when it is as long as people see it. */
const SHORT_ID_MIN = 6;
/** Docker's own, which Docker is asked for. */
const DOCKERS_NAMESPACE = "moby";

export class HostMachines implements Machines {
  readonly #root: string;

  /** `root`: of another file system than the machine's own. */
  constructor(root = "/") {
    this.#root = root;
  }

  find(word: string): readonly MachineView[] {
    return WORD.test(word) ? [...this.#systemd(word), ...this.#containerd(word)] : [];
  }

  #systemd(name: string): MachineView[] {
    const leader = /^LEADER=(\d+)$/m.exec(read(join(this.#root, "run/systemd/machines", name)))?.[1];
    return leader === undefined ? [] : [{ owner: `machine:${name}`, name, pid: Number(leader) }];
  }

  #containerd(word: string): MachineView[] {
    const tasks = join(this.#root, "run/containerd/io.containerd.runtime.v2.task");
    return list(tasks).flatMap((namespace) => {
      if (namespace === DOCKERS_NAMESPACE) return [];
      const named = this.#nerdctlId(namespace, word);
      return list(join(tasks, namespace)).flatMap((id) => {
        const isMeant = id === named || id === word || (word.length >= SHORT_ID_MIN && id.startsWith(word));
        const pid = isMeant ? Number(read(join(tasks, namespace, id, "init.pid"))) : 0;
        return pid > 0 ? [{ owner: id, name: id === named || id === word ? word : id, pid }] : [];
      });
    });
  }

  #nerdctlId(namespace: string, name: string): string | undefined {
    const data = join(this.#root, "var/lib/nerdctl");
    const ids = list(data).map((store) => read(join(data, store, "names", namespace, name)).trim());
    return ids.find((id) => id !== "");
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // its manager is not here
  }
}
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // not one of these, or it has just ended
  }
}
