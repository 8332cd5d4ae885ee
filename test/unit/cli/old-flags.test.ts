// SPDX-License-Identifier: Apache-2.0
// What users of Weave Net type after launch is understood, dropped with a word, or refused with a word.
import { describe, expect, test } from "bun:test";
import { dropOldRange, translateOldFlags } from "../../../src/cli/old-flags.ts";
import { runLine } from "./fake-cli.ts";

function translate(...argv: string[]): { words: readonly string[]; warnings: string[] } {
  const warnings: string[] = [];
  return { words: translateOldFlags(argv, (sentence) => warnings.push(sentence)), warnings };
}

describe("old flags", () => {
  test("old spellings mean today's flags, at any place", () => {
    const { words, warnings } = translate(
      "host1",
      "-password",
      "-port",
      "-port=7000",
      "-nickname",
      "me",
      "--nodiscovery",
      "-nodiscovery",
    );
    expect(words).toEqual([
      "host1",
      "--password",
      "-port",
      "--port=7000",
      "--nickname",
      "me",
      "--no-discovery",
      "--no-discovery",
    ]);
    expect(warnings).toEqual([]);
  });
  test("flags without meaning are dropped with their values and a warning", () => {
    const { words, warnings } = translate("--no-restart", "--bufsz", "16", "--datapath=x", "host1");
    expect(words).toEqual(["host1"]);
    expect(warnings).toEqual([
      "'--no-restart' is ignored: it has no meaning any more",
      "'--bufsz' is ignored: it has no meaning any more",
      "'--datapath' is ignored: it has no meaning any more",
    ]);
  });
  test("switching off what is not there is fine", () => {
    expect(translate("--awsvpc=false", "host1")).toEqual({ words: ["host1"], warnings: [] });
  });
  test("the proxy is there unless it is switched off, and -H says where", () => {
    const argv = ["--proxy=false", "--proxy", "--proxy=true", "-H", "/a.sock", "-H=:12375"];
    const words = [
      "--no-proxy=true",
      "--no-proxy=false",
      "--no-proxy=false",
      "--proxy-listen",
      "/a.sock",
      "--proxy-listen=:12375",
    ];
    expect(translate(...argv)).toEqual({ words, warnings: [] });
  });
  test("the plugin was switched on and off by one flag", () => {
    expect(translate("--plugin", "--plugin=true", "--plugin=false").words).toEqual([
      "--no-plugin=false",
      "--no-plugin=false",
      "--no-plugin=true",
    ]);
  });
  test("the oldest words for address allocation", () => {
    const argv = ["-iprange", "10.2.0.0/16", "-initpeercount=3"];
    expect(translate(...argv)).toEqual({ words: ["--ipalloc-range", "10.2.0.0/16", "--ipalloc-init=3"], warnings: [] });
  });
  test.each([
    [["--plugin-v2"], "cannot use '--plugin-v2': the managed plugin only forwards to the daemon: weave docker-plugin create"],
    [["-passwordfile", "/x"], "cannot use '-passwordfile': put the password into the environment variable WEAVE_PASSWORD"],
    [["--token", "abc"], "cannot use '--token': the discovery service does not exist any more"],
  ])("%j is refused", (argv, message) => {
    expect(() => translate(...argv)).toThrow(expect.objectContaining({ message }));
  });
  test("nothing behind -- is touched", () => {
    expect(translate("--", "-password", "--plugin").words).toEqual(["--", "-password", "--plugin"]);
  });
  test("a network as the first word is dropped with a warning, elsewhere it is no peer", async () => {
    const warnings: string[] = [];
    expect(dropOldRange(["10.0.0.1/16", "host1"], (sentence) => warnings.push(sentence))).toEqual(["host1"]);
    expect(warnings).toEqual(["'10.0.0.1/16' is ignored: launch does not take a network any more"]);
    const { code, err } = await runLine({}, "launch", "host1", "10.0.0.1/16");
    expect([code, err]).toEqual([1, expect.stringContaining("invalid peer '10.0.0.1/16'")]);
  });
});

describe("launch checks everything first", () => {
  test.each([
    [["--mtu", "abc"], 125, "weave launch: invalid value 'abc' for --mtu; it takes a number from 576"],
    [["--nope"], 125, "weave launch: unknown flag '--nope'"],
    [["--port"], 125, "weave launch: '--port' needs a value"],
    [["--trusted-subnets", "x"], 1, "weave launch: invalid value 'x' for --trusted-subnets: not a subnet"],
    [["--resume", "host1"], 1, "weave launch: --resume and peers exclude each other"],
    [["-password", "p", "--port", "7000"], 1, "weave launch: starting weave needs root; run it with sudo"],
  ])("%j exits %d", async (argv, exit, message) => {
    const { code, out, err } = await runLine({}, "launch", ...argv);
    expect([code, out]).toEqual([exit, ""]);
    expect(err).toStartWith(message);
  });
  test("a bad flag points at the help, a bad value does not", async () => {
    expect((await runLine({}, "launch", "--nope")).err).toEndWith("\nsee 'weave launch --help'\n");
    expect((await runLine({}, "launch", "--name", "x")).err).not.toContain("--help");
  });
  test("reset needs root too", async () => {
    expect(await runLine({}, "reset", "--force")).toEqual({
      code: 1,
      out: "",
      err: "weave reset: resetting weave needs root; run it with sudo\n",
    });
  });
});
