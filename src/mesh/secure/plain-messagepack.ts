// SPDX-License-Identifier: Apache-2.0
// Whether bytes are exactly one MessagePack value of the plain kinds (nil, booleans, numbers, text, binary, lists, maps), before a library
// decodes them: no extension types (which make objects, patterns and cycles), nothing cut off, nothing behind it, bounded depth and number of
// values.

export interface Limits {
  /** Lists and maps inside each other. */
  readonly depth: number;
  /** Of all kinds, at all depths. Each has at least one byte, so the number of bytes bounds it too. */
  readonly values: number;
}

/** Never throws. */
export function isPlainMessagePack(bytes: Uint8Array, limits: Limits): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const walk = { view, at: 0, values: 0, depthMax: limits.depth, valuesMax: Math.min(limits.values, bytes.length) };
  return skipValue(walk, 0) && walk.at === bytes.length;
}

interface Walk {
  readonly view: DataView;
  readonly depthMax: number;
  readonly valuesMax: number;
  at: number;
  values: number;
}

function skipValue(walk: Walk, depth: number): boolean {
  if (depth > walk.depthMax || ++walk.values > walk.valuesMax || !has(walk, 1)) return false;
  const kind = walk.view.getUint8(walk.at++);
  if (kind <= 0x7f || kind >= 0xe0) return true; // small integers
  if (kind <= 0x8f) return skipValues(walk, (kind & 0x0f) * 2, depth);
  if (kind <= 0x9f) return skipValues(walk, kind & 0x0f, depth);
  if (kind <= 0xbf) return skipBytes(walk, kind & 0x1f);
  switch (kind) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return true;
    case 0xc4: // binary
    case 0xc5:
    case 0xc6:
      return skipBytes(walk, readCount(walk, 1 << (kind - 0xc4)));
    case 0xca: // float 32, 64
    case 0xcb:
      return skipBytes(walk, kind === 0xca ? 4 : 8);
    case 0xcc: // unsigned
    case 0xcd:
    case 0xce:
    case 0xcf:
      return skipBytes(walk, 1 << (kind - 0xcc));
    case 0xd0: // signed
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return skipBytes(walk, 1 << (kind - 0xd0));
    case 0xd9: // text
    case 0xda:
    case 0xdb:
      return skipBytes(walk, readCount(walk, 1 << (kind - 0xd9)));
    case 0xdc: // list
    case 0xdd:
      return skipValues(walk, readCount(walk, kind === 0xdc ? 2 : 4), depth);
    case 0xde: // map
    case 0xdf:
      return skipValues(walk, readCount(walk, kind === 0xde ? 2 : 4) * 2, depth);
    default:
      return false; // extensions, and the one byte that is never used
  }
}

function has(walk: Walk, count: number): boolean {
  return walk.at + count <= walk.view.byteLength;
}

/** A count beyond everything when its bytes are missing. */
function readCount(walk: Walk, size: number): number {
  if (!has(walk, size)) return Number.MAX_SAFE_INTEGER;
  const at = walk.at;
  walk.at += size;
  return size === 1 ? walk.view.getUint8(at) : size === 2 ? walk.view.getUint16(at) : walk.view.getUint32(at);
}

function skipBytes(walk: Walk, count: number): boolean {
  walk.at += count;
  return has(walk, 0);
}

function skipValues(walk: Walk, count: number, depth: number): boolean {
  if (count > walk.valuesMax) return false;
  for (let i = 0; i < count; i++) if (!skipValue(walk, depth + 1)) return false;
  return true;
}
