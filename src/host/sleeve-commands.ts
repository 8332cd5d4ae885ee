// SPDX-License-Identifier: Apache-2.0
// Commands of the main thread to the sleeve's Worker, which sits in epoll_wait() and hears no messages: one datagram each on a socket pair. They never
// leave the process, so they are trusted.
import { pack, unpack } from "../mesh/codec.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import type { Ip } from "../net/ip.ts";
import type { SleeveCipher, SleeveSession } from "../overlay/carriers.ts";
import { invariant } from "../runtime/errors.ts";

export type SleeveCommand =
  | { readonly type: "open"; readonly session: SleeveSession }
  | { readonly type: "close"; readonly localIndex: number }
  | { readonly type: "figures" }
  | { readonly type: "stop" };

export function encodeCommand(command: SleeveCommand): Uint8Array {
  if (command.type === "close") return pack(["close", command.localIndex]);
  if (command.type !== "open") return pack([command.type]);
  const { neighbour, localIndex, remoteIndex, secret, initiator, cipher, address, port } = command.session;
  invariant((cipher === "none") === (secret === undefined), "a sleeve session is sealed when it has a secret, and only then");
  return pack(["open", neighbour, localIndex, remoteIndex, secret ?? null, initiator, cipher, address, port]);
}

export function decodeCommand(bytes: Uint8Array): SleeveCommand {
  const [type, ...fields] = unpack(bytes) as [SleeveCommand["type"], ...unknown[]]; // what encodeCommand packed
  if (type === "close") return { type, localIndex: fields[0] as number };
  if (type !== "open") return { type };
  const [neighbour, localIndex, remoteIndex, secret, initiator, cipher, address, port] = fields;
  return {
    type,
    session: {
      neighbour: neighbour as ShortId,
      localIndex: localIndex as number,
      remoteIndex: remoteIndex as number,
      secret: secret === null ? undefined : Uint8Array.from(secret as Uint8Array),
      initiator: initiator as boolean,
      cipher: cipher as SleeveCipher,
      address: address as Ip,
      port: port as number,
    },
  };
}
