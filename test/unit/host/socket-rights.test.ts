// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { shareWithGroup } from "../../../native/libc/acl.ts";
import { copySocketRights } from "../../../src/host/socket-rights.ts";

const STRANGER = 54_321;
const MEMBER = 54_322;

test.skipIf(process.getuid?.() !== 0)(
  "a socket gets the rights of another one, or its group by a list where files cannot be given away",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "weave-rights-"));
    chmodSync(folder, 0o755);
    const sockets = ["docker", "given", "shared"].map((name) => join(folder, name));
    const [docker = "", given = "", shared = ""] = sockets;
    const servers = await Promise.all(
      sockets.map(async (path) => {
        const server = createServer();
        await new Promise<void>((resolve) => server.listen(path, resolve));
        chmodSync(path, 0o600);
        return server;
      }),
    );
    try {
      chownSync(docker, 0, MEMBER);
      chmodSync(docker, 0o660);
      copySocketRights(given, docker);
      expect(statSync(given)).toMatchObject({ gid: MEMBER, mode: statSync(docker).mode });
      shareWithGroup(shared, MEMBER);
      for (const path of [given, shared]) {
        const writable = (gid: number) =>
          Bun.spawnSync(["setpriv", "--reuid", "65534", "--regid", `${gid}`, "--clear-groups", "test", "-w", basename(path)], {
            cwd: folder, // what lies above it need not be open to them
          }).exitCode;
        expect([writable(MEMBER), writable(STRANGER)]).toEqual([0, 1]);
      }
      expect(statSync(shared).gid).not.toBe(MEMBER);
    } finally {
      for (const server of servers) server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
