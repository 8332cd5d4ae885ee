// SPDX-License-Identifier: Apache-2.0
// WireGuard as the daemon uses it, on the kernel's own: traffic, rotation, roaming, repair, and nothing in clear whatever is taken away.
import { describe, expect, test } from "bun:test";
import { randomBytes } from "../../../native/libsodium/memory.ts";
import { newSecretKey, publicKeyOf } from "../../../native/libsodium/x25519.ts";
import { resolveFamily } from "../../../native/netlink/generic.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "../../../native/netlink/socket.ts";
import { changeWireguard, readWireguard, WG_GENL_NAME } from "../../../native/netlink/wireguard.ts";
import { inNetns } from "../../../src/host/netns.ts";
import { removeWireguard, whyNoWireguard } from "../../../src/host/wireguard-link.ts";
import { peerName } from "../../support/records.ts";
import { ScratchNetns, testMac } from "../../unit/host/scratch.ts";
import { End, ip, PORT, World } from "./wireguard-world.ts";

describe("the kernel", () => {
  test("has WireGuard", () => {
    expect(whyNoWireguard()).toBeUndefined();
  });

  test("keeps what the binding writes, and tells it again", () => {
    using scratch = ScratchNetns.make();
    const link = scratch.links.createWireguard("wg0", 1420);
    using socket = inNetns(scratch.netns, () => NetlinkSocket.open(NETLINK_GENERIC));
    const family = resolveFamily(socket, WG_GENL_NAME);
    if (family === undefined) throw new Error("no family");
    expect(readWireguard(socket, family, link.index)).toEqual({ privateKey: undefined, port: 0, peers: [] });
    const peer = {
      publicKey: publicKeyOf(newSecretKey()),
      presharedKey: randomBytes(32),
      endpoint: { address: Uint8Array.from([0xfd, ...new Array<number>(14).fill(0), 1]), port: 7_777 },
      keepaliveSeconds: 20,
      allowed: [
        { address: Uint8Array.of(10, 1, 2, 0), prefixLength: 24 },
        { address: Uint8Array.from([0xfd, ...new Array<number>(15).fill(0)]), prefixLength: 64 },
      ],
    };
    changeWireguard(socket, family, link.index, { port: 1_234, peers: [peer] });
    const [held] = readWireguard(socket, family, link.index)?.peers ?? [];
    expect(held).toMatchObject({ ...peer, allowed: expect.arrayContaining(peer.allowed) });
    expect(held).toMatchObject({ handshakeMs: undefined, receivedBytes: 0, sentBytes: 0 });
    changeWireguard(socket, family, link.index, {
      peers: [{ publicKey: randomBytes(32), keepaliveSeconds: 5, updateOnly: true }],
    });
    expect(readWireguard(socket, family, link.index)?.peers.length).toBe(1);
    changeWireguard(socket, family, link.index, { replacePeers: true });
    expect(readWireguard(socket, family, link.index)).toMatchObject({ port: 1_234, peers: [] });
    expect(readWireguard(socket, family, 1)).toBeUndefined(); // the loopback
    expect(readWireguard(socket, family, 9_999)).toBeUndefined();
  });

  test("takes 500 peers and a peer with 3000 networks in several messages", () => {
    using scratch = ScratchNetns.make();
    const link = scratch.links.createWireguard("wg0", 1420);
    using socket = inNetns(scratch.netns, () => NetlinkSocket.open(NETLINK_GENERIC));
    const family = resolveFamily(socket, WG_GENL_NAME);
    if (family === undefined) throw new Error("no family");
    const networks = Array.from({ length: 3_000 }, (_, i) => ({
      address: Uint8Array.of(10, 2, i >> 8, i & 255),
      prefixLength: 32,
    }));
    const peers = Array.from({ length: 500 }, (_, i) => ({
      publicKey: randomBytes(32),
      presharedKey: randomBytes(32),
      endpoint: { address: Uint8Array.of(10, 3, i >> 8, i & 255), port: PORT },
      allowed: i === 250 ? networks : [{ address: Uint8Array.of(10, 4, i >> 8, i & 255), prefixLength: 32 }],
    }));
    changeWireguard(socket, family, link.index, { peers });
    const held = readWireguard(socket, family, link.index)?.peers ?? [];
    const byKey = new Map(held.map((peer) => [Buffer.from(peer.publicKey).toString("hex"), peer]));
    expect([held.length, byKey.size]).toEqual([500, 500]);
    for (const peer of peers) {
      const found = byKey.get(Buffer.from(peer.publicKey).toString("hex"));
      expect(found?.endpoint).toEqual(peer.endpoint);
      expect(found?.presharedKey).toEqual(peer.presharedKey);
      expect(found?.allowed.length).toBe(peer.allowed.length);
    }
  });
});

describe("two hosts", () => {
  test("reach each other inside, and the cable shows nothing of it", () => {
    using world = new World();
    world.agree();
    expect(world.a.pings(world.b.inside, 5)).toBe(5);
    expect(world.b.pings(world.a.inside, 5)).toBe(5);
    const { frames, clear } = world.leaks();
    expect(frames).toBeGreaterThan(20);
    expect(clear).toEqual([]);
    const figures = world.a.figures;
    expect(figures?.endpoint).toEqual({ address: ip("10.9.0.2"), port: PORT });
    expect(figures?.sentBytes).toBeGreaterThan(1_000);
    expect(figures?.receivedBytes).toBeGreaterThan(1_000);
    expect(Math.abs(Date.now() - (figures?.handshakeMs ?? 0))).toBeLessThan(20_000);
  });

  test("do so over IPv6 as well, and with IPv6 switched off for new links", () => {
    using world = new World();
    world.b.run("sysctl", "-q", "net.ipv6.conf.default.disable_ipv6=1");
    removeWireguard(world.b.scratch.links);
    expect(world.b.wireguard.repair()).toContain("link 'weave-wg' was missing");
    const presharedKey = randomBytes(32);
    world.a.wireguard.setPeers([world.b.asPeer({ presharedKey, endpoint: { address: ip("fd00:9::2"), port: PORT } })]);
    world.b.wireguard.setPeers([world.a.asPeer({ presharedKey, endpoint: undefined })]);
    expect(world.a.pings(world.b.inside)).toBe(1);
    expect(world.b.figures?.endpoint?.address).toBe(ip("fd00:9::1"));
  });

  test("with different preshared keys do not", () => {
    using world = new World();
    world.a.wireguard.setPeers([world.b.asPeer({ presharedKey: randomBytes(32) })]);
    world.b.wireguard.setPeers([world.a.asPeer({ presharedKey: randomBytes(32) })]);
    expect(world.a.pings(world.b.inside, 1, 1, 1)).toBe(0);
    expect(world.leaks().clear).toEqual([]);
  });

  test("rotate the preshared key under traffic without losing a packet", async () => {
    using world = new World();
    world.agree();
    expect(world.a.pings(world.b.inside)).toBe(1);
    const ping = Bun.spawn(
      ["nsenter", `--net=${world.a.scratch.path}`, "ping", "-6", "-q", "-n", "-c", "120", "-i", "0.01", world.b.inside],
      { stdout: "pipe" },
    );
    const before = world.a.figures?.handshakeMs;
    for (let i = 0; i < 10; i++) {
      world.agree();
      await Bun.sleep(50);
    }
    expect(await new Response(ping.stdout).text()).toContain("120 packets transmitted, 120 received, 0% packet loss");
    expect(world.a.figures?.handshakeMs).toBe(before); // the session went on
  });

  test("shake hands with the newest preshared key", () => {
    using world = new World();
    world.agree();
    world.agree();
    expect(world.a.pings(world.b.inside)).toBe(1);
    // A link that went up anew has no sessions: only a handshake with the key of now helps.
    world.b.run("ip", "link", "set", "weave-wg", "down");
    world.b.wireguard.repair();
    world.agree();
    expect(world.b.pings(world.a.inside, 1, 1, 8)).toBe(1);
  });

  test("find each other again when one moves, and are not sent back while it is alive", () => {
    using world = new World();
    const presharedKey = randomBytes(32);
    world.agree(presharedKey);
    expect(world.a.pings(world.b.inside)).toBe(1);
    world.b.run("ip", "address", "add", "10.9.0.77/24", "dev", "e1");
    world.b.run("ip", "address", "delete", "10.9.0.2/24", "dev", "e1");
    world.b.run("ip", "address", "add", "10.9.0.77/24", "dev", "e1");
    expect(world.b.pings(world.a.inside)).toBe(1);
    expect(world.a.figures?.endpoint?.address).toBe(ip("10.9.0.77"));
    world.agree(presharedKey); // says 10.9.0.2 still
    expect(world.a.wireguard.repair()).toEqual([]);
    expect(world.a.figures?.endpoint?.address).toBe(ip("10.9.0.77"));
    expect(world.a.pings(world.b.inside)).toBe(1);
  });

  test("have no way once one has removed the other", () => {
    using world = new World();
    world.agree();
    expect(world.a.pings(world.b.inside)).toBe(1);
    world.b.wireguard.setPeers([]);
    expect(world.b.figures).toBeUndefined();
    expect(world.a.pings(world.b.inside, 1, 1, 1)).toBe(0);
  });

  test("take nothing from each other but the address of each", () => {
    using world = new World();
    world.agree();
    world.b.run("ip", "address", "add", "fd77:6561:7665::bad/128", "dev", "weave-wg", "nodad");
    const ping = `ping -6 -q -n -c 1 -W 1 -I fd77:6561:7665::bad ${world.a.inside} || true`;
    expect(world.b.run("sh", "-c", ping)).toContain(" 0 received");
    expect(world.b.wireguard.repair()).toEqual(["fd77:6561:7665::bad/128 is not an address of this host"]);
  });
});

describe("a daemon that starts", () => {
  test("takes up the key, the peers and the running session", () => {
    using world = new World();
    const presharedKey = randomBytes(32);
    world.agree(presharedKey);
    expect(world.a.pings(world.b.inside)).toBe(1);
    const { publicKey } = world.a.wireguard;
    const handshakeMs = world.a.figures?.handshakeMs;
    world.a.restart();
    expect(world.a.wireguard.publicKey).toEqual(publicKey);
    expect(world.a.wireguard.repair()).toEqual([]);
    world.a.wireguard.setPeers([world.b.asPeer(undefined)]); // restored, but not spoken to yet
    expect(world.a.pings(world.b.inside)).toBe(1);
    world.a.wireguard.setPeers([world.b.asPeer({ presharedKey })]);
    expect(world.a.figures?.handshakeMs).toBe(handshakeMs);
    world.a.wireguard.setPeers([]);
    expect(world.a.pings(world.b.inside, 1, 1, 1)).toBe(0);
  });

  test("finds nothing to do twice", () => {
    using end = new End(1);
    expect(end.wireguard.repair()).toEqual([]);
    expect(end.indices.length).toBe(1);
  });

  test("is told when the name or the port is somebody else's, and leaves no half of a link", () => {
    using end = new End(1);
    removeWireguard(end.scratch.links);
    end.run("ip", "link", "add", "weave-wg", "type", "dummy");
    expect(() => end.open()).toThrow("link 'weave-wg' exists and is of kind 'dummy', not of WireGuard");
    end.run("ip", "link", "delete", "weave-wg");
    end.run("ip", "link", "add", "other", "type", "wireguard");
    end.run("ip", "link", "set", "lo", "up");
    using other = inNetns(end.scratch.netns, () => NetlinkSocket.open(NETLINK_GENERIC));
    const family = resolveFamily(other, WG_GENL_NAME);
    const index = end.scratch.links.get("other")?.index ?? 0;
    if (family !== undefined) changeWireguard(other, family, index, { port: PORT });
    end.run("ip", "link", "set", "other", "up");
    expect(() => end.open()).toThrow(`cannot set up 'weave-wg': UDP port ${PORT} is in use by another program`);
    expect(end.scratch.links.get("weave-wg")).toBeUndefined();
  });

  test("sets 100 neighbours up, and changes only the one that differs", () => {
    using end = new End(1);
    const neighbours = Array.from({ length: 100 }, (_, i) => ({
      name: peerName(i + 2),
      inside: ip(`fd77:6561:7665:1::${(i + 2).toString(16)}`),
      agreed: {
        publicKey: randomBytes(32),
        presharedKey: randomBytes(32),
        endpoint: { address: ip(`10.9.${i >> 8}.${i & 255}`), port: PORT },
        keepalive: true,
      },
    }));
    end.wireguard.setPeers(neighbours);
    expect(end.wireguard.figures().size).toBe(100);
    expect(end.wireguard.repair()).toEqual([]);
    const [first, ...others] = neighbours;
    if (first === undefined) throw new Error("none");
    end.wireguard.setPeers(others);
    expect(end.wireguard.figures().size).toBe(99);
    end.run("ip", "link", "delete", "weave-wg");
    expect(end.wireguard.repair()).toContain("99 WireGuard peers differed");
  });
});

/** What somebody does on host a, and what repair says then. */
const ACCIDENTS: readonly (readonly [what: string, commands: readonly string[], repaired: string])[] = [
  ["the link deleted", ["ip link delete weave-wg"], "link 'weave-wg' was missing"],
  ["the link switched off", ["ip link set weave-wg down"], "link 'weave-wg' was down"],
  ["its address flushed", ["ip address flush dev weave-wg"], "its address"],
  ["its MTU changed", ["ip link set weave-wg mtu 1300"], "link 'weave-wg' had MTU 1300"],
  ["all routes of its table flushed", ["ip -6 route flush table 6785"], "the route through 'weave-wg' was missing"],
  [
    "all routes to the prefix flushed, wherever",
    ["ip -6 route flush table all root fd77:6561:7665::/48"],
    "the unreachable route for fd77:6561:7665::/48 was missing",
  ],
  ["the rules removed", ["ip -6 rule delete priority 678", "ip -6 rule delete priority 679"], "routing rule 679"],
  [
    "IPv6 switched off and on for all",
    [
      "sysctl -q net.ipv6.conf.all.disable_ipv6=1",
      "sysctl -q net.ipv6.conf.all.disable_ipv6=0",
      "ip address add fd00:9::1/64 dev e1 nodad",
      "ip -6 route replace default via fd00:9::2 dev e1",
    ],
    "the route through 'weave-wg' was missing",
  ],
  ["the loopback switched off and on", ["ip link set lo down", "ip link set lo up"], "the unreachable route"],
  [
    "the link and all routes to the prefix gone",
    ["ip link delete weave-wg", "ip -6 route flush table all root fd77:6561:7665::/48"],
    "link 'weave-wg' was missing",
  ],
  [
    "the link and the rules gone",
    ["ip link delete weave-wg", "ip -6 rule delete priority 678", "ip -6 rule delete priority 679"],
    "routing rule 678",
  ],
  [
    "the key and the peers of another program",
    ["ip link delete weave-wg", "ip link add weave-wg type wireguard"],
    "had another key",
  ],
];

describe("nothing in clear", () => {
  for (const [what, commands, repaired] of ACCIDENTS) {
    test(`with ${what}; repair mends it`, () => {
      using world = new World();
      world.agree();
      expect(world.a.pings(world.b.inside)).toBe(1);
      world.leaks();
      for (const command of commands) world.a.run("sh", "-c", command);
      world.a.pings(world.b.inside, 2, 0.01, 0.2);
      const send = `echo known plaintext | socat -u - UDP6-SENDTO:[${world.b.inside}]:6784 || true`;
      world.a.run("sh", "-c", send);
      expect(world.a.pings(ip("fd00:9::2"))).toBe(1); // the cable works
      expect(world.leaks().clear).toEqual([]);
      expect(world.a.wireguard.repair().join()).toContain(repaired);
      expect(world.a.pings(world.b.inside, 1, 1, 8)).toBe(1);
      expect(world.a.wireguard.repair()).toEqual([]);
    });
  }

  test("without the locks there would be some", () => {
    using world = new World();
    world.agree();
    removeWireguard(world.a.scratch.links);
    world.a.pings(world.b.inside, 1, 1, 0.3);
    expect(world.leaks().clear.length).toBeGreaterThan(0);
  });

  test("from packets that others route through the host: they do not get inside", () => {
    using world = new World();
    world.agree();
    using guest = ScratchNetns.make();
    const { a } = world;
    a.scratch.links.createVeth({ name: "g", mac: testMac(8) }, { name: "e", mac: testMac(9), netns: guest.netns });
    for (const command of ["link set g up", "address add fd00:8::1/64 dev g nodad"]) a.run("ip", ...command.split(" "));
    a.run("sysctl", "-q", "net.ipv6.conf.all.forwarding=1");
    for (const command of ["link set e up", "address add fd00:8::2/64 dev e nodad", "-6 route add default via fd00:8::1"]) {
      guest.run("ip", ...command.split(" "));
    }
    expect(guest.run("sh", "-c", "ping -6 -q -c1 -W2 fd00:9::1 || true")).toContain(" 1 received");
    const answer = guest.run("sh", "-c", `ping -6 -c1 -W2 ${world.b.inside} || true`);
    expect(answer).toMatch(/unreachable|No route/i);
    expect(world.leaks().clear).toEqual([]);
  });

  test("and after removal nothing of it is left", () => {
    using end = new End(1);
    const before = end.run("sh", "-c", "ip -6 rule; ip -6 route show table all; ip link");
    expect(before).toContain("weave-wg");
    expect(removeWireguard(end.scratch.links)).toEqual([
      "weave-wg",
      "its unreachable route",
      "its routing rule 678",
      "its routing rule 679",
    ]);
    const after = end.run("sh", "-c", "ip -6 rule; ip -6 route show table all; ip link");
    expect(after).not.toMatch(/weave|fd77|678|679/);
    expect(removeWireguard(end.scratch.links)).toEqual([]);
  });
});
