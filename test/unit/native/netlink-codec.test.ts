// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { Attributes, type Message, MessageWriter, NLM_F, NLMSG, readMessages } from "../../../native/netlink/codec.ts";
import { readRefusal } from "../../../native/netlink/error.ts";

function messagesIn(...chunks: readonly Uint8Array[]): Message[] {
  const bytes = Buffer.concat(chunks);
  return [...readMessages(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), bytes.length)];
}
function only(bytes: Uint8Array): Message {
  const [message] = messagesIn(bytes);
  if (message === undefined) throw new Error("no message");
  return message;
}

describe("writing", () => {
  test("a request has the bytes ip-link(8) would send", () => {
    // RTM_GETLINK of 'lo', as strace shows it for `ip link show lo` without its extra attributes.
    const writer = new MessageWriter(18, NLM_F.REQUEST).u8(0).u8(0).u16(0).u32(0).u32(0).u32(0).attributeText(3, "lo");
    expect(Buffer.from(writer.finish(1)).toString("hex")).toBe(
      `28000000${"1200"}${"0100"}01000000${"00000000"}${"00".repeat(16)}${"0700"}${"0300"}${"6c6f0000"}`,
    );
  });

  test("attributes are padded to four bytes and nested ones enclose theirs", () => {
    const writer = new MessageWriter(1, 0).nested(2, (inner) => inner.attributeU8(3, 0xff).attributeU16be(4, 0x1a80));
    const outer = Attributes.of(only(writer.finish(0)), 0);
    const inside = outer.nested(2);
    expect([inside.u8(3), inside.u16be(4), writer.finish(0).length]).toEqual([0xff, 0x1a80, 16 + 4 + 8 + 8]);
  });

  test("the buffer grows with the message", () => {
    const writer = new MessageWriter(1, 0, 32);
    const payload = new Uint8Array(5_000).fill(7);
    expect(Attributes.of(only(writer.attribute(1, payload).attributeU32(2, 5).finish(0)), 0).bytes(1)).toEqual(
      new Uint8Array(new ArrayBuffer(5_000)).fill(7),
    );
  });

  test("an attribute that its 16-bit length cannot hold is refused", () => {
    expect(() => new MessageWriter(1, 0).attribute(1, new Uint8Array(65_532))).toThrow(RangeError);
  });
});

describe("reading", () => {
  const written = () =>
    new MessageWriter(1, 0)
      .attributeU32(1, 0xffff_fffe)
      .attributeText(2, "weave")
      .attributeMac(3, 0x0211_2233_4455)
      .attribute(4, Uint8Array.of(1))
      .finish(9);

  test("values come back as they were written", () => {
    const attributes = Attributes.of(only(written()), 0);
    expect([attributes.u32(1), attributes.i32(1), attributes.text(2), attributes.mac(3)]).toEqual([
      0xffff_fffe,
      -2,
      "weave",
      0x0211_2233_4455,
    ]);
  });

  test("absent and too short attributes read as undefined", () => {
    const attributes = Attributes.of(only(written()), 0);
    expect([attributes.u32(9), attributes.u16(4), attributes.mac(4), attributes.bytes(9)]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(attributes.has(4)).toBe(true);
    expect(attributes.nested(9).has(1)).toBe(false);
  });

  test("the last of two attributes of a type counts", () => {
    const writer = new MessageWriter(1, 0).attributeU8(1, 1).attributeU8(1, 2);
    expect(Attributes.of(only(writer.finish(0)), 0).u8(1)).toBe(2);
  });

  test("several messages in one datagram are found, and what follows a malformed one is not", () => {
    const broken = Buffer.from(written());
    broken.writeUInt32LE(15, 0);
    expect(messagesIn(written(), written(), broken, written()).map((message) => message.sequence)).toEqual([9, 9]);
  });

  test("a message cut short is not read", () => {
    expect(messagesIn(written().subarray(0, 30))).toEqual([]);
  });
});

describe("refusals", () => {
  const subject = { call: "RTM_NEWLINK", object: "weave" };
  function errorMessage(code: number, flags: number, rest: Uint8Array): Message {
    const writer = new MessageWriter(NLMSG.ERROR, flags).u32(code >>> 0);
    for (const byte of rest) writer.u8(byte);
    return only(writer.finish(1));
  }
  const text = Buffer.concat([Buffer.from([12, 0, 1, 0]), Buffer.from("too bad\0")]);
  const header = (length: number) => Buffer.from([length, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);

  test("zero acknowledges", () => {
    expect(readRefusal(errorMessage(0, 0, header(16)), subject)).toBeUndefined();
  });
  test("the kernel's words stand behind the capped request", () => {
    const refusal = readRefusal(errorMessage(-95, NLM_F.ACK_TLVS | NLM_F.CAPPED, Buffer.concat([header(40), text])), subject);
    expect(refusal?.message).toBe("RTM_NEWLINK weave: EOPNOTSUPP (95): too bad");
  });
  test("or behind the whole request", () => {
    const echoed = Buffer.concat([header(20), Buffer.alloc(4), text]);
    expect(readRefusal(errorMessage(-95, NLM_F.ACK_TLVS, echoed), subject)?.kernelText).toBe("too bad");
  });
  test("a missing attribute is named when there are no words", () => {
    const missing = Buffer.from([8, 0, 5, 0, 15, 0, 0, 0]);
    const refusal = readRefusal(errorMessage(-22, NLM_F.ACK_TLVS | NLM_F.CAPPED, Buffer.concat([header(16), missing])), subject);
    expect(refusal?.kernelText).toBe("attribute 15 is missing");
  });
  test("an echoed request that claims to be longer than the message is survived", () => {
    expect(readRefusal(errorMessage(-1, NLM_F.ACK_TLVS, header(255)), subject)?.errno).toBe(1);
  });
});
