// SPDX-License-Identifier: Apache-2.0
// `weave password add|remove [<password>]`, `weave password list`
import type { PasswordChange } from "../api/backend.ts";
import { UsageError } from "./args.ts";
import { command, JSON_FLAG } from "./command.ts";
import { type Cli, EXIT, outJson } from "./context.ts";
import { secretFromFile } from "./secret.ts";

const ACTIONS = ["add", "remove", "list"] as const;
type Action = (typeof ACTIONS)[number];

export const password = command({
  name: "password",
  summary: "change the passwords that are valid, without a cut",
  usage: ["[flags] add [<password>]", "[flags] remove [<password>]", "[flags] list"],
  details: `To replace a password, add the new one on every host, then remove the old one on every host. Established connections stay; handshakes know the change at once, and so does every later start. The password itself is never shown: list tells how many there are, and four digits of a hash of each, which are equal on all hosts.
Without <password> and --file it is asked for at the terminal, or read from standard input:
  weave password add < new-password`,
  args: {
    action: { type: "positional", required: true, description: "add, remove or list" },
    password: { type: "positional", required: false, description: "other users can see it in the list of processes" },
    file: { type: "string", valueHint: "PATH", description: "read it from this file, which has one line" },
    force: { type: "boolean", description: "remove also the last one: every host may connect, and data is in clear" },
    ...JSON_FLAG,
  },
  async run(cli, { action, password: given, file, force, json }) {
    const known = ACTIONS.find((one) => one === action);
    if (known === undefined) throw new UsageError(`'${action}' is not add, remove or list`);
    checkWords(known, given, file, force);
    if (known === "list") {
      const { fingerprints } = await cli.client().call("passwords", {});
      print(cli, fingerprints, json, {});
      return EXIT.done;
    }
    const secret = given ?? (file === undefined ? await cli.readSecret({ confirm: known === "add" }) : secretFromFile(file));
    const done = await change(cli, known, secret, force);
    for (const warning of done.warnings) cli.err(`weave password: ${done.changed ? "warning: " : ""}${warning}\n`);
    print(cli, done.fingerprints, json, { changed: done.changed, warnings: done.warnings });
    return EXIT.done;
  },
});

function checkWords(action: Action, given: string | undefined, file: string | undefined, force: boolean): void {
  if (given !== undefined && file !== undefined) throw new UsageError("<password> and --file exclude each other");
  if (given === "") throw new UsageError("an empty password protects nothing");
  if (action === "list" && (given !== undefined || file !== undefined)) throw new UsageError("list takes no password");
  if (action !== "remove" && force) throw new UsageError(`--force has no meaning for ${action}`);
}

function change(cli: Cli, action: "add" | "remove", secret: string, force: boolean): Promise<PasswordChange> {
  if (action === "add") return cli.client().call("addPassword", { password: secret });
  return cli.client().call("removePassword", { password: secret, force });
}

function print(cli: Cli, fingerprints: readonly string[], json: boolean, more: object): void {
  if (json) outJson(cli, { count: fingerprints.length, fingerprints, ...more });
  else cli.out([countText(fingerprints.length), ...fingerprints].map((line) => `${line}\n`).join(""));
}

function countText(count: number): string {
  if (count === 0) return "no password: every host without one may connect";
  return count === 1 ? "1 password" : `${count} passwords`;
}
