// SPDX-License-Identifier: Apache-2.0
// Files of listening sockets. One that nobody answers on is left over from a crash and replaced; one that answers belongs to another daemon.
import { lstatSync, readFileSync, unlinkSync } from "node:fs";
import { UserError } from "./errors.ts";

/** Makes room for a socket at `path`. @throws {UserError} conflict: something else is there, or somebody answers */
export async function removeStaleSocket(path: string): Promise<void> {
  const kind = lstatSync(path, { throwIfNoEntry: false });
  if (kind === undefined) return;
  if (!kind.isSocket())
    throw new UserError("conflict", `cannot listen on '${path}': it exists and is not a socket`, "move it away");
  if (await answers(path)) {
    throw new UserError("conflict", `cannot listen on '${path}': another daemon answers there`, "stop it with 'weave stop'");
  }
  unlinkSync(path);
}

/** Whether somebody accepts connections on the socket. */
async function answers(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch (thrown) {
    // EAGAIN: the listener's queue is full, so there is one.
    return thrown instanceof Error && "code" in thrown && thrown.code === "EAGAIN";
  }
}

/** Id of a group in /etc/group; other name services are not asked. undefined: there is no such group. */
export function groupId(name: string): number | undefined {
  const fields = readGroups()
    .map((line) => line.split(":"))
    .find(([group]) => group === name);
  const id = Number(fields?.[2]);
  return fields !== undefined && Number.isInteger(id) ? id : undefined;
}

function readGroups(): string[] {
  try {
    return readFileSync("/etc/group", "utf8").split("\n");
  } catch {
    return []; // no such file: no such group
  }
}
