// SPDX-License-Identifier: Apache-2.0
// Writes archives (POSIX.1-1988 ustar) of what Docker is to unpack: directories and files of root.
const BLOCK_BYTES = 512;
/** Longest path of ustar without its prefix field. */
const NAME_BYTES = 100;

export interface TarEntry {
  /** Without a slash in front; a directory ends in one. */
  readonly path: string;
  readonly mode: number;
  readonly content?: Uint8Array;
}

/** Parts of the archive, in order. @throws {RangeError} a path is too long */
export function tarOf(entries: readonly TarEntry[]): Uint8Array[] {
  const parts = entries.flatMap(({ path, mode, content = new Uint8Array() }) => {
    const padding = new Uint8Array((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES);
    return [header(path, mode, content.length), content, padding];
  });
  return [...parts, new Uint8Array(2 * BLOCK_BYTES)];
}

/** Fields are octal text. offset size field: 0 100 name, 100 8 mode, 108 8 uid, 116 8 gid, 124 12 size, 136 12 mtime, 148 8 checksum, 156 1 type,
 *  257 6 "ustar", 263 2 version "00"; the rest is zero. The checksum is the sum of all bytes, itself counted as spaces. */
function header(path: string, mode: number, size: number): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string) => block.set(new TextEncoder().encode(text), at);
  const name = new TextEncoder().encode(path);
  if (name.length > NAME_BYTES) throw new RangeError(`path too long for an archive: '${path}'`);
  block.set(name, 0);
  put(100, octal(mode, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(0, 11));
  put(148, "        ");
  put(156, path.endsWith("/") ? "5" : "0");
  put(257, "ustar\0" + "00");
  put(
    148,
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
  );
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}
