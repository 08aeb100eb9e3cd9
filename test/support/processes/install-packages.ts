import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, resolve } from "node:path";

/** The program of each Debian package, or a file: if it is there, so is the package. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "redis-server": "redis-server",
  haproxy: "haproxy",
  nginx: "nginx",
  caddy: "caddy",
  chromium: "chromium",
  prometheus: "prometheus",
  "g++": "g++",
  "g++-s390x-linux-gnu": "s390x-linux-gnu-g++",
  "qemu-user": "qemu-s390x",
  clang: "clang++",
  cmake: "cmake",
  make: "make",
  tshark: "tshark",
  "kubernetes-client": "kubectl",
  podman: "podman",
  openssl: "openssl",
  curl: "curl",
  iproute2: "ip",
  "libnginx-mod-stream": "/usr/lib/nginx/modules/ngx_stream_module.so",
};

/** With the folders of daemons, which a user's PATH does not have. */
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

// `node test/support/processes/install-packages.ts <package>...` installs the missing packages where that is allowed (root,
// apt-get); otherwise it prints the command. package.json runs it before the tests.
const missing = process.argv.slice(2).filter((name) => !isInstalled(name));
if (missing.length > 0 && !install(missing)) {
  process.stderr.write(`The tests need ${missing.join(", ")}: sudo apt-get install -y ${missing.join(" ")}\n`);
  process.exitCode = 1;
}

function isInstalled(name: string): boolean {
  const program = PROGRAMS[name];
  if (program === undefined) throw new Error(`${name}: allowed are ${Object.keys(PROGRAMS).join(", ")}`);
  return PATH.split(delimiter).some((folder) => existsSync(resolve(folder, program)));
}

function install(names: readonly string[]): boolean {
  if (process.getuid?.() !== 0) return false;
  process.stderr.write(`installing ${names.join(", ")} for the tests\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  try {
    // The tests start their own servers, on ports of their own.
    execFileSync("apt-get", ["update", "-qq"], { env, stdio: ["ignore", "ignore", "inherit"] });
    const options = ["install", "-y", "-qq", "--no-install-recommends"];
    execFileSync("apt-get", [...options, ...names], { env, stdio: ["ignore", "ignore", "inherit"] });
    return true;
  } catch {
    return false;
  }
}
