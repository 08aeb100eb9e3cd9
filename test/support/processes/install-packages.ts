import { execFileSync, spawnSync } from "node:child_process";

/** The program by which a Debian package is known to be there. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "redis-server": "redis-server",
  haproxy: "haproxy",
  nginx: "nginx",
  caddy: "caddy",
  chromium: "chromium",
};

/** Debian keeps daemons where a user's PATH does not look. */
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

// Run before the tests, as `node test/support/processes/install-packages.ts <package>...`: what is missing is installed where that
// is allowed (root, apt-get), otherwise one line says how.
const missing = process.argv.slice(2).filter((name) => !isInstalled(name));
if (missing.length > 0 && !install(missing)) {
  process.stderr.write(`The tests need ${missing.join(", ")}: sudo apt-get install -y ${missing.join(" ")}\n`);
  process.exitCode = 1;
}

function isInstalled(name: string): boolean {
  const program = PROGRAMS[name];
  if (program === undefined) throw new Error(`${name}: allowed are ${Object.keys(PROGRAMS).join(", ")}`);
  return spawnSync("sh", ["-c", `command -v ${program}`], { env: { ...process.env, PATH } }).status === 0;
}

function install(names: readonly string[]): boolean {
  if (process.getuid?.() !== 0) return false;
  process.stderr.write(`installing ${names.join(", ")} for the tests\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  try {
    // Not a service of this machine: the tests start their own, on ports of their own.
    execFileSync("apt-get", ["update", "-qq"], { env, stdio: ["ignore", "ignore", "inherit"] });
    const options = ["install", "-y", "-qq", "--no-install-recommends"];
    execFileSync("apt-get", [...options, ...names], { env, stdio: ["ignore", "ignore", "inherit"] });
    return true;
  } catch {
    return false;
  }
}
