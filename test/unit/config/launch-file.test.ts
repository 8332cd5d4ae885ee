// SPDX-License-Identifier: Apache-2.0
// launch.json: readable by its owner only, whole or not there, and unknown keys are not passed over.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type LaunchFile,
  launchFilePath,
  parseLaunchFile,
  readLaunchFile,
  storeOption,
  writeLaunchFile,
} from "../../../src/config/launch-file.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weave-launch-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const FILE: LaunchFile = {
  launchId: "0123456789ab",
  options: { passwords: ["hush"], port: ["7000"], noDiscovery: ["true"], nickname: ["n"] },
  peers: ["host1", "host2:6783"],
};

describe("on disk", () => {
  test("is read as it was written, with the kinds of JSON", () => {
    writeLaunchFile(directory, FILE);
    expect(readLaunchFile(directory)).toEqual(FILE);
    expect(JSON.parse(readFileSync(launchFilePath(directory), "utf8"))).toEqual({
      version: 1,
      launchId: "0123456789ab",
      peers: ["host1", "host2:6783"],
      options: { passwords: ["hush"], port: 7000, noDiscovery: true, nickname: "n" },
    });
  });
  test("one option is changed and the rest stays; without a file there is one afterwards", () => {
    writeLaunchFile(directory, FILE);
    storeOption(directory, "passwords", ["new", "hush"]);
    expect(readLaunchFile(directory)).toEqual({ ...FILE, options: { ...FILE.options, passwords: ["new", "hush"] } });
    const empty = join(directory, "new");
    storeOption(empty, "passwords", []);
    expect(readLaunchFile(empty)).toEqual({ launchId: "", options: { passwords: [] }, peers: [] });
  });
  test("nobody but its owner can read it, also when a left-over of another mode was there", () => {
    writeFileSync(join(directory, "launch.json.unfinished"), "x");
    chmodSync(join(directory, "launch.json.unfinished"), 0o666);
    writeLaunchFile(join(directory, "new"), FILE);
    writeLaunchFile(directory, FILE);
    expect(statSync(launchFilePath(directory)).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, "new")).mode & 0o777).toBe(0o700);
    expect(readdirSync(directory).sort()).toEqual(["launch.json", "new"]);
  });
  test("the one before stays when the new one cannot be written", () => {
    writeLaunchFile(directory, FILE);
    mkdirSync(join(directory, "launch.json.unfinished", "in-the-way"), { recursive: true });
    expect(() => writeLaunchFile(directory, { ...FILE, peers: [] })).toThrow(/^cannot write '.*launch.json': /);
    expect(readLaunchFile(directory)).toEqual(FILE);
  });
  test("none is no error, an unreadable one is", () => {
    expect(readLaunchFile(directory)).toBeUndefined();
    mkdirSync(launchFilePath(directory));
    expect(() => readLaunchFile(directory)).toThrow(/^cannot read /);
  });
});

describe("damage", () => {
  const whole = { version: 1, launchId: "a", peers: [], options: {} };
  test.each([
    ["{", "it is not JSON"],
    ["[]", "it is not a JSON object"],
    [JSON.stringify({ ...whole, version: 0 }), "it has version 0, not 1"],
    [JSON.stringify({ ...whole, launchId: 5 }), "'launchId' is not a text"],
    [JSON.stringify({ ...whole, peers: "host1" }), "'peers' is not a list of texts"],
    [JSON.stringify({ ...whole, extra: 1 }), "unknown key 'extra'"],
    [JSON.stringify({ ...whole, options: [] }), "'options' is not an object"],
    [JSON.stringify({ ...whole, options: { port: "7000" } }), "option 'port' is not a number"],
    [JSON.stringify({ ...whole, options: { constructor: 1 } }), "unknown option 'constructor'"],
  ])("%s", (text, message) => {
    expect(() => parseLaunchFile(text, "/x/launch.json")).toThrow(`cannot use '/x/launch.json': ${message}`);
  });
  test("an unknown option names the nearest", () => {
    const text = JSON.stringify({ ...whole, options: { mtuByte: 1 } });
    expect(() => parseLaunchFile(text, "/x")).toThrow(
      expect.objectContaining({ message: "cannot use '/x': unknown option 'mtuByte'", hint: "did you mean 'mtuBytes'?" }),
    );
  });
});

test("of a newer version it is refused, with what to do", () => {
  const refusal = (text: string): unknown => {
    try {
      return parseLaunchFile(text, "launch.json");
    } catch (thrown) {
      return thrown;
    }
  };
  const hint = expect.stringContaining("install that version again, or run 'weave launch' with all its options");
  expect(refusal('{"version": 2, "everything": "else"}')).toMatchObject({
    message: "cannot use 'launch.json': it was written by a newer weave (version 2, this one knows 1)",
    hint,
  });
  // A new option alone does not make a new version.
  expect(refusal('{"version": 1, "launchId": "", "options": {"teleport": true}}')).toMatchObject({ hint });
});
