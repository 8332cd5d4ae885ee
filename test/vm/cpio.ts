// SPDX-License-Identifier: Apache-2.0
// A cpio archive in the form the kernel unpacks as its initial RAM disk (Documentation/driver-api/early-userspace/buffer-format.rst, "newc").

export interface CpioEntry {
  readonly path: string;
  /** undefined: a directory. */
  readonly content?: Uint8Array | string;
  /** Permissions; default 755. */
  readonly mode?: number;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

export function cpio(entries: readonly CpioEntry[]): Uint8Array {
  const chunks: Uint8Array[] = [];
  const all = [...entries, { path: "TRAILER!!!", content: "" }];
  for (const [index, { path, content, mode = 0o755 }] of all.entries()) {
    const bytes = content === undefined ? new Uint8Array() : Buffer.from(content);
    const name = Buffer.from(`${path}\0`);
    // magic, then in 8 hex digits each: inode, mode, uid, gid, links, time, size, device major and minor, rdev major and minor, name size, checksum
    const fields = [
      index + 1,
      (content === undefined ? S_IFDIR : S_IFREG) | mode,
      0,
      0,
      1,
      0,
      bytes.length,
      0,
      0,
      0,
      0,
      name.length,
      0,
    ];
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
    chunks.push(padded(Buffer.concat([header, name])), padded(bytes));
  }
  return Buffer.concat(chunks);
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
