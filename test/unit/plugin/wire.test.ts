// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { methodOf } from "../../../src/plugin/http.ts";
import { fieldsOf, readFlag, readGenericOptions, readInterface } from "../../../src/plugin/wire.ts";
import { UserError } from "../../../src/runtime/errors.ts";

describe("Docker's requests", () => {
  test("an interface has addresses of both families and a MAC", () => {
    const given = { Interface: { Address: "10.32.0.1/12", AddressIPv6: "fd00::1/64", MacAddress: "02:00:00:00:00:01", More: 1 } };
    expect(readInterface(given)).toMatchObject({ addresses: [{ prefixLength: 12 }, { prefixLength: 64 }], mac: 0x020000000001 });
    expect(readInterface({})).toEqual({ addresses: [], mac: undefined });
  });
  test.each([
    [{ Address: "fd00::1/64" }, "Address"],
    [{ AddressIPv6: "10.0.0.1/8" }, "AddressIPv6"],
    [{ MacAddress: "03:00:00:00:00:01" }, "MacAddress"],
    [{ MacAddress: "00:00:00:00:00:00" }, "MacAddress"],
  ])("%j is refused", (given, key) => {
    expect(() => readInterface({ Interface: given })).toThrow(`cannot read '${key}'`);
  });
  test("options are flags as Docker's users write them", () => {
    const options = readGenericOptions({ Options: { "com.docker.network.generic": { on: "", off: "FALSE", odd: "maybe" } } });
    expect([readFlag(options, "on", false), readFlag(options, "off", true), readFlag(options, "none", true)]).toEqual([
      true,
      false,
      true,
    ]);
    expect(() => readFlag(options, "odd", true)).toThrow("odd='maybe' is neither true nor false");
  });
  test("any JSON is read or refused, never more", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        for (const given of [
          value,
          { Interface: value },
          { Options: value },
          { Options: { "com.docker.network.generic": value } },
        ]) {
          try {
            readInterface(fieldsOf(given));
            readGenericOptions(fieldsOf(given));
          } catch (thrown) {
            if (!(thrown instanceof UserError)) throw thrown;
          }
        }
      }),
    );
  });
  test("the method stands in the path, whatever stands for the host", () => {
    expect(methodOf("http://%2Frun%2Fx.sock/NetworkDriver.Join")).toBe("NetworkDriver.Join");
    expect(methodOf("/Plugin.Activate?x=1")).toBe("Plugin.Activate");
    expect(methodOf("")).toBe("");
  });
});
