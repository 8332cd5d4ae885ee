// SPDX-License-Identifier: Apache-2.0
// Who may use the Docker proxy's sockets: whoever may use Docker's.
import { chmodSync, chownSync, statSync } from "node:fs";
import { shareWithGroup } from "../../native/libc/acl.ts";
import { groupId } from "../runtime/unix-socket.ts";

/** @param dockerSocket undefined: Docker has none on this host @throws {Error} the file system or the service's confinement do not allow it */
export function copySocketRights(path: string, dockerSocket: string | undefined): void {
  const { mode, uid, gid } = rightsOf(dockerSocket);
  const own = statSync(path);
  if (own.uid === uid && own.gid === gid) chmodSync(path, mode);
  else if (process.getuid?.() === 0 && mayGiveAway(path, uid, gid)) chmodSync(path, mode);
  else if ((mode & 0o060) === 0o060) shareWithGroup(path, gid); // the service may not give files away
}

function mayGiveAway(path: string, uid: number, gid: number): boolean {
  try {
    chownSync(path, uid, gid);
    return true;
  } catch {
    return false;
  }
}

/** Docker's, or while it is not there what its packages give it. */
function rightsOf(dockerSocket: string | undefined): { readonly mode: number; readonly uid: number; readonly gid: number } {
  const docker = dockerSocket === undefined ? undefined : statSync(dockerSocket, { throwIfNoEntry: false });
  if (docker?.isSocket()) return { mode: docker.mode & 0o777, uid: docker.uid, gid: docker.gid };
  const group = groupId("docker");
  return group === undefined ? { mode: 0o600, uid: 0, gid: 0 } : { mode: 0o660, uid: 0, gid: group };
}
