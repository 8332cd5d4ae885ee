// SPDX-License-Identifier: Apache-2.0
// Conversations with the running kernel that no user of `src/host` shows: neighbours, forwarding entries, generic netlink, and what goes wrong.
import { describe, expect, test } from "bun:test";
import { bytesOf } from "../../../native/ffi.ts";
import { close } from "../../../native/libc/fd.ts";
import { AF, netlinkAddress, SOCKADDR_NL } from "../../../native/libc/sockaddr.ts";
import { SOCK, sendTo, socket } from "../../../native/libc/socket.ts";
import { MessageWriter, NLM_F, NLMSG } from "../../../native/netlink/codec.ts";
import { NetlinkError } from "../../../native/netlink/error.ts";
import { resolveFamily } from "../../../native/netlink/generic.ts";
import { decodeLink, getLink, listLinks } from "../../../native/netlink/link.ts";
import { changeLink, createBridge, createVeth } from "../../../native/netlink/link-change.ts";
import {
  deleteFdb,
  deleteNeighbour,
  listFdb,
  listNeighbours,
  replaceFdb,
  replaceNeighbour,
} from "../../../native/netlink/neighbour.ts";
import { addRoute } from "../../../native/netlink/route.ts";
import { RTM, writeIfinfo } from "../../../native/netlink/rtnetlink.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "../../../native/netlink/socket.ts";
import { inNetns } from "../../../src/host/netns.ts";
import { isRoot, ScratchNetns, testMac } from "../host/scratch.ts";

/** A namespace with a bridge and one port of it, and a socket into it. */
class World implements Disposable {
  readonly scratch = ScratchNetns.make();
  readonly socket = inNetns(this.scratch.netns, () => NetlinkSocket.open());
  readonly bridge: number;
  readonly port: number;
  constructor() {
    createBridge(this.socket, { name: "weave", mac: testMac(1), up: true }, {});
    this.bridge = getLink(this.socket, "weave")?.index ?? 0;
    createVeth(this.socket, { name: "port", mac: testMac(2), master: this.bridge, up: true }, { name: "far", mac: testMac(3) });
    this.port = getLink(this.socket, "port")?.index ?? 0;
  }
  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.scratch[Symbol.dispose]();
  }
}

describe.skipIf(!isRoot)("netlink (needs root)", () => {
  test("forwarding entries are made, listed and removed", () => {
    using world = new World();
    const mac = 0x0266_7788_9900;
    replaceFdb(world.socket, world.port, mac);
    replaceFdb(world.socket, world.port, mac);
    const found = () => listFdb(world.socket).filter((entry) => entry.mac === mac);
    expect(found()).toEqual([{ linkIndex: world.port, master: world.bridge, mac, permanent: true }]);
    deleteFdb(world.socket, world.port, mac);
    expect(found()).toEqual([]);
    expect(() => deleteFdb(world.socket, world.port, mac)).toThrow(/ENOENT/);
  });

  test("neighbours of both families are made, listed and removed", () => {
    using world = new World();
    const v4 = Uint8Array.of(10, 32, 0, 7);
    const v6 = Uint8Array.from([0xfd, 0, ...new Array<number>(13).fill(0), 7]);
    for (const address of [v4, v6]) replaceNeighbour(world.socket, world.bridge, address, testMac(9));
    const macs = () => listNeighbours(world.socket).filter(({ mac }) => mac === testMac(9));
    expect(macs().map(({ address }) => [...address])).toEqual([[...v4], [...v6]]);
    for (const address of [v4, v6]) deleteNeighbour(world.socket, world.bridge, address);
    expect(macs()).toEqual([]);
  });

  test("families of generic netlink are found by name, or are not there", () => {
    using socket = NetlinkSocket.open(NETLINK_GENERIC);
    expect(resolveFamily(socket, "nlctrl")?.id).toBe(16);
    expect(resolveFamily(socket, "nonsense")).toBeUndefined();
  });

  test("a second route to the same place is refused in the kernel's words, with IPv6 written out", () => {
    using world = new World();
    const destination = Uint8Array.from([0xfd, 0x99, ...new Array<number>(14).fill(0)]);
    const route = { destination, prefixLength: 64, linkIndex: world.bridge };
    addRoute(world.socket, route);
    expect(() => addRoute(world.socket, route)).toThrow(
      /^RTM_NEWROUTE fd99:0000:0000:0000:0000:0000:0000:0000\/64 on link \d+: EEXIST \(17\)/,
    );
  });

  test("an attribute the kernel does not know in a strict request is named by it", () => {
    using world = new World();
    const writer = new MessageWriter(RTM.GETLINK, NLM_F.REQUEST | NLM_F.DUMP);
    writeIfinfo(writer, AF.UNSPEC, 77);
    const subject = { call: "RTM_GETLINK", object: "all" };
    expect(() => world.socket.dump(writer, subject, decodeLink)).toThrow(/RTM_GETLINK all: EINVAL \(22\): .+/);
    expect(listLinks(world.socket).length).toBe(4); // and the socket goes on
  });

  test("a table that changes while it is read is read again", () => {
    using world = new World();
    for (let i = 0; i < 60; i++) {
      createVeth(world.socket, { name: `a${i}`, mac: testMac(100 + i) }, { name: `b${i}`, mac: testMac(200 + i) });
    }
    const writer = new MessageWriter(RTM.GETLINK, NLM_F.REQUEST | NLM_F.DUMP);
    writeIfinfo(writer, AF.UNSPEC, 0);
    using other = inNetns(world.scratch.netns, () => NetlinkSocket.open());
    let decoded = 0;
    const links = world.socket.dump(writer, { call: "RTM_GETLINK", object: "all" }, (message) => {
      if (decoded++ === 0) createVeth(other, { name: "late", mac: testMac(7) }, { name: "later", mac: testMac(8) });
      return decodeLink(message);
    });
    const names = links.map(({ name }) => name);
    expect([names.length, new Set(names).size, names.includes("late")]).toEqual([126, 126, true]);
    expect(decoded).toBeGreaterThan(126); // some were decoded twice
  });

  test("a table that never rests is an error, not an endless loop", () => {
    using world = new World();
    for (let i = 0; i < 60; i++) {
      createVeth(world.socket, { name: `a${i}`, mac: testMac(100 + i) }, { name: `b${i}`, mac: testMac(200 + i) });
    }
    const writer = new MessageWriter(RTM.GETLINK, NLM_F.REQUEST | NLM_F.DUMP);
    writeIfinfo(writer, AF.UNSPEC, 0);
    using other = inNetns(world.scratch.netns, () => NetlinkSocket.open());
    let name = 0;
    const dump = () =>
      world.socket.dump(writer, { call: "RTM_GETLINK", object: "all" }, (message) => {
        const link = decodeLink(message);
        if (link?.name === "lo") changeLink(other, world.bridge, { name: `weave${name++}` });
        if (link?.name === "lo") createBridge(other, { name: `x${name}`, mac: testMac(5) }, {});
        return link;
      });
    expect(dump).toThrow("RTM_GETLINK all: EAGAIN (11): the table kept changing while it was read");
  });

  test("an answer forged by another process is not believed", () => {
    using scratch = ScratchNetns.make();
    // The first netlink socket of a process in a namespace gets the process id as its port; `scratch.links` holds that one.
    const forger = inNetns(scratch.netns, () => socket(AF.NETLINK, SOCK.RAW, 0));
    try {
      const victim = netlinkAddress();
      new DataView(victim.buffer).setUint32(SOCKADDR_NL.pid, process.pid, true);
      const forged = new MessageWriter(NLMSG.ERROR, 0).u32(-13 >>> 0).u32(0);
      for (let sequence = 1; sequence < 20; sequence++) {
        const bytes = bytesOf(forged.finish(sequence));
        expect(sendTo(forger, bytes, bytes.length, 0, victim)).toBe(bytes.length);
      }
      expect(scratch.links.list().map(({ name }) => name)).toEqual(["lo"]);
    } finally {
      close(forger);
    }
  });

  test("a closed socket throws a TypeError", () => {
    const socket = NetlinkSocket.open();
    socket[Symbol.dispose]();
    socket[Symbol.dispose]();
    expect(() => listLinks(socket)).toThrow(TypeError);
  });

  test("a refusal is a SystemError with call, object, number and words", () => {
    using world = new World();
    try {
      changeLink(world.socket, world.port, { mtuBytes: 1 });
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(NetlinkError);
      expect(thrown).toMatchObject({
        call: "RTM_SETLINK",
        object: `link ${world.port}`,
        errno: 22,
        code: "EINVAL",
        kernelText: "mtu less than device minimum",
      });
      return;
    }
    throw new Error("it was not refused");
  });
});
