// SPDX-License-Identifier: Apache-2.0
// Whether the sleeve can have its UDP port. The sleeve itself is started when it is first needed, which may be in the middle of the night.
import { isSystemError } from "../../native/errno.ts";
import type { Ip } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";
import { closeSleeveSockets, openSleeveSockets } from "./sleeve-sockets.ts";

/** Leaves the port as it was. @throws {UserError} another program has it */
export function checkSleevePort(host: Ip | undefined, port: number): void {
  try {
    closeSleeveSockets(openSleeveSockets(port, host));
  } catch (cause) {
    if (!isSystemError(cause, "EADDRINUSE")) throw cause;
    const hint = `find the program with "ss -lunp 'sport = :${port}'" and stop it, or choose another port with --port`;
    throw new UserError("conflict", `cannot use UDP port ${port}: another program uses it`, hint, { cause });
  }
}
