import { execFileSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cleanup, freePort, startProgram } from "../harness/processes.ts";
import { startRedis } from "../ours/start-ours.ts";
import type { HttpPeer } from "./start-peers.ts";

/** Debian's packages, and a file that each of them brings. */
const PACKAGES = {
  nginx: "/usr/sbin/nginx",
  "libnginx-mod-http-lua": "/usr/lib/nginx/modules/ngx_http_lua_module.so",
  "lua-nginx-redis": "/usr/share/lua/5.1/nginx/redis.lua",
  "lua-cjson": "/usr/lib/x86_64-linux-gnu/lua/5.1/cjson.so",
} as const;

/** Installs nginx with Lua where that is allowed (root, apt-get); otherwise throws with the command. */
export function installNginxLua(): void {
  const isMissing = () => Object.values(PACKAGES).some((file) => !existsSync(file));
  if (!isMissing()) return;
  const command = ["install", "-y", "-qq", "--no-install-recommends", ...Object.keys(PACKAGES)];
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    if (process.getuid?.() === 0) execFileSync("apt-get", command, { env, stdio: ["ignore", "ignore", "inherit"] });
  } catch {
    // What is missing is told below.
  }
  if (isMissing()) throw new Error(`nginx with Lua is needed: sudo apt-get ${command.join(" ")}`);
}

/** Connections to Redis that each nginx process keeps: one for each client of the load. */
const POOL = 32;

/** The check that one writes in Lua: a GET, and 401 without a session. Unlike Express and Artoria it renews nothing. */
const checkScript = (redisPort: number) => `
local redis = require "nginx.redis"
local cjson = require "cjson"
local id = ngx.var.cookie_sid
if not id then return ngx.exit(401) end
local client = redis:new()
client:set_timeout(1000)
local connected = client:connect("127.0.0.1", ${redisPort})
if not connected then return ngx.exit(503) end
local session = client:get("sess:" .. id)
client:set_keepalive(60000, ${POOL})
if not session then return ngx.exit(503) end
if session == ngx.null then return ngx.exit(401) end
ngx.header["X-Session-User"] = cjson.decode(session).user
ngx.header["Content-Length"] = 0
return ngx.exit(200)
`;

const configuration = (port: number, directory: string) => `
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module ${PACKAGES["libnginx-mod-http-lua"]};
daemon off;
worker_processes auto;
pid ${directory}/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  lua_package_path "/usr/share/lua/5.1/?.lua;;";
  client_body_temp_path ${directory}; proxy_temp_path ${directory}; fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
  server {
    listen 127.0.0.1:${port};
    location = /check { content_by_lua_file ${directory}/check.lua; }
  }
}
`;

/** Starts nginx with lua-nginx-redis in front of a Redis of its own; its processes keep their connections to Redis. */
export async function startNginxLua(cleanup: Cleanup): Promise<HttpPeer> {
  const directory = await mkdtemp(join(tmpdir(), "artoria-nginx-"));
  cleanup.addRemoval({ remove: async () => rmSync(directory, { recursive: true, force: true }) });
  const redis = await startRedis();
  cleanup.add(redis.program);
  const port = await freePort();
  await writeFile(join(directory, "check.lua"), checkScript(Number(new URL(redis.url).port)));
  await writeFile(join(directory, "nginx.conf"), configuration(port, directory));
  const args = ["-p", directory, "-c", "nginx.conf"];
  const nginx = cleanup.add(await startProgram({ name: "nginx", command: PACKAGES.nginx, args, port }));
  // The CPU of nginx's workers is not its own, so it is not shown.
  return { port, redisUrl: redis.url, programs: [redis.program, nginx] };
}

/** The cookie header of a session id. */
export function nginxCookie(id: string): string {
  return `Cookie: sid=${id}`;
}
