// SPDX-License-Identifier: Apache-2.0
// Attach and detach against a real bridge and real namespaces.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { AttachWorld, BRIDGE } from "./world.ts";

let world: AttachWorld;
beforeAll(async () => {
  world = await AttachWorld.make();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe("attach", () => {
  test("a named namespace gets ethwe with its addresses, up, on the bridge, with the multicast route", async () => {
    const web = await world.container("web");
    const result = await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24", "ip:fd00:1::5/64"] });
    expect(result.addresses.map(String)).toEqual(["10.32.1.5", "fd00:1::5"]);
    expect(await world.addresses(web)).toEqual(["10.32.1.5/24", "fd00:1::5/64"]);
    expect(world.ports()).toEqual([world.parts.attacher.list()[0]!.hostLink]);
    const routes = await world.inside(["ip", "route"], web);
    expect(routes).toMatch(/224\.0\.0\.0\/4 dev ethwe .*scope link/);
    const link = await world.inside(["ip", "-d", "link", "show", "ethwe"], web);
    expect(link).toContain("mtu 1376");
    expect(link).toMatch(/[<,]UP[,>]/);
    console.log(link, await world.inside(["ip", "addr", "show"], web), await world.inside(["ip", "-d", "link"]));
  });

  test("the other end reaches it through the bridge", async () => {
    const db = await world.container("db");
    const web = world.parts.attacher.list()[0]!.name;
    await world.parts.attacher.attach({ target: `netns:${db}`, addresses: ["10.32.1.6/24", "fd00:1::6/64"] });
    await world.inside(["ping", "-c1", "-W2", "10.32.1.5"], db);
    await world.inside(["ping", "-6", "-c1", "-W2", "fd00:1::6"], web);
  });
});
