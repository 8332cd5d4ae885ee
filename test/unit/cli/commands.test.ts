// SPDX-License-Identifier: Apache-2.0
// The command table is complete: everything in it has help, is listed, and takes its flags from one definition.
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { JSON_FLAG } from "../../../src/cli/command.ts";
import { COMMANDS, NOT_YET, REMOVED } from "../../../src/cli/commands.ts";
import { OPTIONS } from "../../../src/config/options.ts";
import { runLine } from "./fake-cli.ts";

const NAMES = Object.keys(COMMANDS);

describe("the command table", () => {
  test("has every command this build promises", () => {
    const promised =
      "daemon launch stop reset connect forget attach attach-bridge detach expose hide ps ping status report password rmpeer version help prime dns-add dns-remove dns-lookup dns-args env config run start restart docker-bridge-ip docker-tls-args doctor reload docker-plugin";
    expect([...NAMES].sort()).toEqual(promised.split(" ").sort());
  });

  test.each(NAMES)("%s is listed by help with its summary", async (name) => {
    const { err, out, code } = await runLine({}, "help");
    expect([code, out]).toEqual([0, ""]);
    const line = err.split("\n").find((text) => text.trim().split(/\s+/)[0] === name);
    expect(line).toContain(COMMANDS[name]?.summary ?? "?");
  });

  test.each(NAMES)("%s --help tells its usage, summary and every flag on stderr and exits 0", async (name) => {
    const command = await COMMANDS[name]?.load();
    const { err, out, code } = await runLine({}, name, "--help");
    expect([code, out]).toEqual([0, ""]);
    expect(err).toContain(`weave ${name}`);
    expect(command?.summary).toBe(COMMANDS[name]?.summary ?? "?");
    expect(err).toContain(command?.summary ?? "?");
    for (const [flag, spec] of Object.entries(command?.args ?? {})) {
      if (spec.type !== "positional") expect(err).toContain(`--${flag}`);
      expect(spec.description ?? "").not.toBe("");
    }
    for (const line of err.split("\n")) expect([line.length <= 100 ? "" : line, line.trimEnd()]).toEqual(["", line]);
  });

  // All that `run` does not know is Docker's to read.
  test.each(NAMES.filter((name) => name !== "run"))("%s refuses a flag it does not know and says which", async (name) => {
    const { err, out, code } = await runLine({}, name, "--no-such-flag");
    expect([code, out]).toEqual([name === "launch" || name === "daemon" ? 125 : 1, ""]);
    expect(err).toContain("unknown flag '--no-such-flag'");
  });

  test.each(["launch", "daemon"])("%s has one flag for each option, no more", async (name) => {
    const command = await COMMANDS[name]?.load();
    const flags = Object.entries(command?.args ?? {}).filter(([, spec]) => spec.type !== "positional");
    const own = flags.map(([flag]) => flag).filter((flag) => flag !== "help" && flag !== "json");
    expect(own.sort()).toEqual(
      Object.values(OPTIONS)
        .map(({ flag }) => flag)
        .sort(),
    );
  });

  test("commands that print a result take --json", async () => {
    for (const name of [
      "launch",
      "attach",
      "detach",
      "expose",
      "hide",
      "ps",
      "status",
      "report",
      "password",
      "rmpeer",
      "version",
    ]) {
      const command = await COMMANDS[name]?.load();
      expect(Object.keys(command?.args ?? {})).toContain(Object.keys(JSON_FLAG)[0] ?? "?");
    }
  });

  test("a command is in one of the three tables only", () => {
    const all = [...NAMES, ...Object.keys(REMOVED), ...Object.keys(NOT_YET)];
    expect(new Set(all).size).toBe(all.length);
  });

  test("every command has a file of its own", () => {
    const files = readdirSync(new URL("../../../src/cli", import.meta.url));
    const others: Readonly<Record<string, string>> = { help: "help-command.ts", run: "run-container.ts" };
    for (const name of NAMES) expect(files).toContain(others[name] ?? `${name}.ts`);
  });
});

describe("words that are no command", () => {
  test("nothing at all: usage on stderr, exit 1", async () => {
    const { code, out, err } = await runLine({});
    expect([code, out]).toEqual([1, ""]);
    expect(err).toStartWith("Usage: weave <command>");
  });

  test("--help: usage on stderr, exit 0", async () => {
    expect(await runLine({}, "--help")).toMatchObject({ code: 0, out: "", err: expect.stringMatching(/^Usage/) });
  });

  test("an unknown command is named, the nearest one is proposed, usage follows", async () => {
    const { code, out, err } = await runLine({}, "attahc");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toStartWith("weave: unknown command 'attahc'; did you mean 'weave attach'?\n");
    expect(err).toContain("Usage: weave");
  });

  test.each(Object.keys(REMOVED))("%s: two lines on stderr, exit 1", async (name) => {
    const { code, out, err } = await runLine({}, name, "--with", "words");
    expect([code, out, err.trimEnd().split("\n").length]).toEqual([1, "", 2]);
  });

  test.each(Object.entries(NOT_YET))("%s says that this build does not have it", async (name, { exit }) => {
    const { code, out, err } = await runLine({}, name);
    expect([code, out]).toEqual([exit, ""]);
    expect(err).toMatch(/this build does not have .* yet/);
  });

  test("'eval $(weave env)' stays harmless where no daemon runs", async () => {
    const nowhere = { WEAVE_HTTP_ADDR: "/nowhere/api.sock" };
    expect(await runLine(nowhere, "env")).toMatchObject({ code: 0, out: "", err: expect.stringContaining("not running") });
    expect(await runLine(nowhere, "config")).toMatchObject({ code: 1, out: "" });
  });

  test("names of object properties are no commands", async () => {
    expect((await runLine({}, "constructor")).err).toContain("unknown command 'constructor'");
  });

  test("--local as the first word changes nothing", async () => {
    expect(await runLine({}, "--local", "version")).toEqual(await runLine({}, "version"));
  });
});
