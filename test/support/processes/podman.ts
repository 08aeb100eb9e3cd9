import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { Program } from "./program.ts";

/** What a container may do, and what it gets. */
export interface ContainerOptions {
  readonly image: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Further options of `podman run`. */
  readonly options?: readonly string[];
}

/** Debian's podman with images and containers of its own, which do not outlive it. Containers share this machine's network. */
export class Podman {
  readonly #folder: string;
  #containers = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(): Promise<Podman> {
    return new Podman(await mkdtemp(join(tmpdir(), "artoria-podman-")));
  }

  /** Builds an image, without looking for its base elsewhere. */
  async build(image: string, dockerfile: string, context: string): Promise<void> {
    // The build runs in a plain chroot: it needs no more rights than this process has.
    const options = ["--isolation", "chroot", "--network", "host", "--pull=never", "--layers=false"];
    await this.#succeeds(["build", ...options, "--tag", image, "--file", dockerfile, context]);
  }

  /** Starts a container that is removed when it ends. A signal to the program goes to the container's first process. */
  run({ image, args, environment = {}, options = [] }: ContainerOptions): Program {
    this.#containers += 1;
    const variables = Object.entries(environment).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
    const limits = ["--ulimit", "nofile=10000:10000", "--ulimit", "nproc=4096:4096", "--cgroups=disabled"];
    const name = ["--rm", "--name", `container-${this.#containers}`, "--network", "host"];
    const [command, all] = this.#command(["run", ...name, ...limits, ...options, ...variables, image, ...args]);
    return new Program(command, all);
  }

  async close(): Promise<void> {
    await this.#succeeds(["rm", "--all", "--force", "--time", "0"]);
    await this.#succeeds(["rmi", "--all", "--force"]);
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** A build takes longer than a {@link Program} may. */
  async #succeeds(args: readonly string[]): Promise<void> {
    const [command, all] = this.#command(args);
    const running = promisify(execFile)(command, all, { maxBuffer: MAX_OUTPUT_BYTES });
    const killWithParent = () => running.child.kill("SIGKILL");
    process.once("exit", killWithParent);
    try {
      await running;
    } finally {
      process.off("exit", killWithParent);
    }
  }

  #command(args: readonly string[]): [command: string, args: readonly string[]] {
    const places = ["--root", join(this.#folder, "images"), "--runroot", join(this.#folder, "run")];
    const all = [...places, "--cgroup-manager", "cgroupfs", "--events-backend", "file", ...args];
    return needsOwnCgroups()
      ? ["unshare", ["--mount", "sh", "-c", WITH_OWN_CGROUPS, "podman", ...all]]
      : ["podman", all];
  }
}

/** What npm and podman say of a build. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** crun refuses to start where both versions of control groups are mounted, although these containers have none. */
function needsOwnCgroups(): boolean {
  return process.getuid?.() === 0 && !existsSync("/sys/fs/cgroup/cgroup.controllers");
}

const WITH_OWN_CGROUPS = 'umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec podman "$@"';

/** Programs that the steps of a Dockerfile may need, besides Node and npm. */
const PROGRAMS = ["dash", "env", "ls", "mkdir", "sleep", "rm", "cat"];

/**
 * Makes an image under the name of Node's official one, of this machine's files: Node as the tests run it, npm, a shell, and the
 * libraries and certificates that they need.
 */
export async function buildNodeImage(podman: Podman, image: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "artoria-node-image-"));
  try {
    const root = join(folder, "root");
    for (const name of ["bin", "etc/ssl/certs", "usr/bin", "usr/etc", "usr/lib", "root", "proc", "sys", "dev"]) {
      await mkdir(join(root, name), { recursive: true });
    }
    const programs = await Promise.all(PROGRAMS.map((name) => realpathOf(name)));
    const node = await realpath(process.execPath);
    for (const path of programs) await copyFile(path, join(root, "bin", basename(path)));
    await copyFile(node, join(root, "usr/bin/node"));
    for (const library of await librariesOf([...programs, node])) {
      await mkdir(join(root, dirname(library)), { recursive: true });
      await copyFile(library, join(root, library));
    }
    await symlink("dash", join(root, "bin/sh"));
    await symlink("../../bin/env", join(root, "usr/bin/env"));
    await cp(await npmFolder(), join(root, "usr/lib/npm"), { recursive: true });
    await symlink("../lib/npm/bin/npm-cli.js", join(root, "usr/bin/npm"));
    await copyFile(CERTIFICATES, join(root, CERTIFICATES));
    const files = {
      "etc/passwd": "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/:/bin/sh\n",
      "etc/group": "root:x:0:\nnode:x:1000:\n",
      "usr/etc/npmrc": `cafile=${CERTIFICATES}\nupdate-notifier=false\n`,
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(root, name), text);
    const dockerfile = join(folder, "Dockerfile");
    await writeFile(dockerfile, "FROM scratch\nCOPY root /\nRUN mkdir -m 1777 /tmp\nENV PATH=/usr/bin:/bin\n");
    await podman.build(image, dockerfile, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Those of this machine. */
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";

async function realpathOf(program: string): Promise<string> {
  return realpath((await outputOf("sh", ["-c", `command -v ${program}`])).trim());
}

/** Those that the programs name, and all others of the C library, which programs of npm's packages may name. */
async function librariesOf(programs: readonly string[]): Promise<string[]> {
  const lines = (await Promise.all(programs.map((program) => outputOf("ldd", [program])))).join("\n");
  const named = [...lines.matchAll(/\/[^\s)]+\.so[^\s)]*/g)].map(([path]) => path);
  const folder = dirname(named.find((path) => /\/libc\.so\.6$/.test(path)) ?? "/");
  const others = (await readdir(folder)).filter((name) =>
    /^lib(rt|dl|pthread|m|util|resolv|nss_dns|nss_files)\.so\.\d+$/.test(name),
  );
  return [...new Set([...named, ...others.map((name) => join(folder, name))])];
}

/** Two folders above npm's program. */
async function npmFolder(): Promise<string> {
  const program = await realpathOf("npm");
  const folder = dirname(dirname(program));
  const { name } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as { name: string };
  if (name !== "npm") throw new Error(`${program} is not npm's program`);
  return folder;
}

async function outputOf(command: string, args: readonly string[]): Promise<string> {
  const program = new Program(command, args);
  if ((await program.ended()) !== 0) throw new Error(`${command} ${args.join(" ")}: ${program.output}`);
  return program.stdout;
}
