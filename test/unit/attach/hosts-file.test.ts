// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { parseHostsEntry, renderHostsFile } from "../../../src/attach/hosts-file.ts";
import { parseIp } from "../../../src/net/ip.ts";

test("own names at all addresses, extra entries, loopback, marks at both ends", () => {
  const extra = [parseHostsEntry("db:10.32.1.6"), parseHostsEntry("six:fd00::6")];
  const text = renderHostsFile({ hostname: "web", domain: "weave.local.", addresses: [parseIp("10.32.1.5")!], extra });
  expect(text.split("\n").slice(0, 5)).toEqual([
    "# written by weave: begin",
    "10.32.1.5       web.weave.local web",
    "10.32.1.6       db",
    "fd00::6         six",
    "127.0.0.1       localhost",
  ]);
  expect(text).toEndWith("# written by weave: end\n");
});

test("without a domain there is only the host's name", () => {
  expect(renderHostsFile({ hostname: "web", domain: "", addresses: [parseIp("10.32.1.5")!], extra: [] })).toContain(
    "10.32.1.5       web\n",
  );
});

test("an entry is a name and an address", () => {
  for (const text of ["db", "db:", ":10.0.0.1", "db:10.0.0", "d b:10.0.0.1", "db\n:10.0.0.1"]) {
    expect(() => parseHostsEntry(text)).toThrow("is not a hosts entry");
  }
});
