// SPDX-License-Identifier: Apache-2.0
// `npm run bench -- [what] [options]`: how fast weave is, beside the kernel's own means in the same run. Needs root; nothing of it
// outlives the run.
//   paths    the data path table (the default)      --rounds N --ms N --only part,part
//   mesh     simulated meshes and 20 real daemons   --daemons N --times N --idle SECONDS
//   dns      the name server beside others          --rounds N --ms N
//   connect  TCP connect to established             --times N
//   sleeve   the user-space carrier                 --rounds N --ms N
//   lossy    TCP through the sleeve over a bad line  --rounds N, --only vm: in the virtual machine too
//   ipam     addresses given out                    --times N --daemons N
//   start    whole commands                         --times N
//   proxy    docker run through the API proxy       --times N
//   sdk      tests of Docker's Python library       --only file,file::Class::test
//   service  the packaged service on real hosts     --times N --idle SECONDS
import { parseArgs } from "node:util";
import { overLossyLine } from "../support/lossy-line.ts";
import { benchDns } from "./dns.ts";
import { benchInVm } from "./in-vm.ts";
import { benchIpam } from "./ipam.ts";
import { benchMesh } from "./mesh.ts";
import { benchConnect, benchStart } from "./moments.ts";
import { benchPaths } from "./paths.ts";
import { benchProxy } from "./proxy.ts";
import { benchSdk } from "./sdk.ts";
import { benchService } from "./service.ts";
import { benchSleeve } from "./sleeve.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "3" },
    ms: { type: "string", default: "400" },
    only: { type: "string", default: "" },
    times: { type: "string" },
    daemons: { type: "string", default: "20" },
    idle: { type: "string", default: "30" },
  },
});
const what = positionals[0] ?? "paths";
const only = values.only.split(",").filter((part) => part !== "");

async function main(): Promise<boolean> {
  switch (what) {
    case "paths":
      return await benchPaths({
        rounds: Number(values.rounds),
        durationMs: Number(values.ms),
        only,
      });
    case "mesh":
      return await benchMesh({
        daemons: Number(values.daemons),
        times: Number(values.times ?? "10"),
        idleSeconds: Number(values.idle),
      });
    case "sleeve":
      return await benchSleeve({ rounds: Number(values.rounds), durationMs: Number(values.ms) });
    case "lossy":
      console.log(await overLossyLine(Number(values.rounds), "program"));
      return values.only !== "vm" || (await benchInVm("test/bench/lossy.guest.ts", 700));
    case "dns":
      return await benchDns({ rounds: Number(values.rounds), seconds: Math.max(1, Math.round(Number(values.ms) / 200)) });
    case "ipam":
      return await benchIpam({ times: Number(values.times ?? "5"), hosts: Math.min(10, Number(values.daemons)) });
    case "connect":
      return await benchConnect(Number(values.times ?? "10"));
    case "proxy":
      return await benchProxy(Number(values.times ?? "30"));
    case "sdk":
      return await benchSdk(only);
    case "start":
      return benchStart(Number(values.times ?? "50"));
    case "service":
      return await benchService({ times: Number(values.times ?? "10"), idleSeconds: Number(values.idle) });
    default:
      console.error(
        `bench: unknown bench '${what}'; use paths, sleeve, lossy, dns, ipam, mesh, connect, start, proxy, sdk or service`,
      );
      process.exit(2);
  }
}

process.exit((await main()) ? 0 : 1);
