// SPDX-License-Identifier: Apache-2.0
// Access control lists of files, acl(5), in the kernel's own form.
import { checked } from "../errno.ts";
import { libc } from "./symbols.ts";

/** linux/posix_acl_xattr.h: a version, then entries of tag, permissions and id, sorted by tag; little-endian. */
const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
/** linux/posix_acl.h */
const TAG = { OWNER: 0x01, OWNING_GROUP: 0x04, GROUP: 0x08, MASK: 0x10, OTHER: 0x20 } as const;
const NO_ID = 0xffff_ffff;

/** The owner and one more group may read and write, nobody else may. Takes no capability from who owns the file. @throws {SystemError} */
export function shareWithGroup(path: string, gid: number): void {
  const entries = [
    [TAG.OWNER, 6, NO_ID],
    [TAG.OWNING_GROUP, 0, NO_ID],
    [TAG.GROUP, 6, gid],
    [TAG.MASK, 6, NO_ID],
    [TAG.OTHER, 0, NO_ID],
  ] as const;
  const list = new DataView(new ArrayBuffer(HEADER_BYTES + entries.length * ENTRY_BYTES));
  list.setUint32(0, VERSION, true);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    list.setUint16(at, tag, true);
    list.setUint16(at + 2, permissions, true);
    list.setUint32(at + 4, id, true);
  }
  const bytes = new Uint8Array(list.buffer);
  checked(libc().symbols.setxattr(path, "system.posix_acl_access", bytes, bytes.length, 0), "setxattr", path);
}
