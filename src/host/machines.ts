// SPDX-License-Identifier: Apache-2.0
// Machines that systemd-machined knows (machinectl(1)): containers of systemd-nspawn and whatever else registers there. Its state files say what is
// needed, so no bus is spoken: /run/systemd/machines/NAME, lines of KEY=VALUE (systemd, src/machine/machine.c, machine_save).
import type { Container, ContainerRuntime } from "../attach/ports.ts";
import { readIfThere } from "./small-file.ts";

const DIRECTORY = "/run/systemd/machines";
/** A machine's name is a host name (machined, hostname_is_valid). */
const NAME = /^[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9_])?$/;
const PREFIX = "machine:";

/** `web` or `machine:web`. */
export class Machines implements ContainerRuntime {
  readonly #directory: string;
  constructor(directory = DIRECTORY) {
    this.#directory = directory;
  }

  inspect(word: string): Promise<Container | undefined> {
    const name = word.startsWith(PREFIX) ? word.slice(PREFIX.length) : word;
    return Promise.resolve(NAME.test(name) ? this.#read(name) : undefined);
  }

  #read(name: string): Container | undefined {
    const text = readIfThere(`${this.#directory}/${name}`);
    const leader = /^LEADER=([1-9]\d{0,9})$/m.exec(text ?? "")?.[1];
    if (text === undefined || leader === undefined) return undefined;
    const owner = `${PREFIX}${name}`;
    // Files of its /etc may be changed under us by the machine itself, so we do not write its hosts file.
    return {
      id: owner,
      name,
      pid: Number(leader),
      running: true,
      hostNetwork: false,
      hostname: name,
      domain: "",
      hostsFile: undefined,
    };
  }
}
