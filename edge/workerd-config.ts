import { join } from "node:path";
import type { EdgeConfig } from "./config.ts";
import type { EdgeBuild } from "./edge-build.ts";

/** What the text of workerd's configuration is made of. Secrets in it are the certificate's key and `authorization`. */
export interface WorkerdConfigParts {
  readonly build: EdgeBuild;
  readonly config: Pick<EdgeConfig, "host" | "port" | "tls" | "trustedCertificates">;
  /** The environment variables that workerd gets: each is a binding of the worker. */
  readonly environment: readonly string[];
  /** Where the program serves what workerd asks it, as workerd writes addresses. */
  readonly hostAddress: string;
  /** The Authorization of workerd's requests there. */
  readonly authorization: string;
  /** Where workerd serves what the program asks. */
  readonly controlAddress: string;
  /** The folder of Durable Objects and accounts; undefined: this edge has none. */
  readonly stateDirectory: string | undefined;
}

/** workerd's name of the socket for clients. */
export const PUBLIC_SOCKET = "public";
/** workerd's name of the socket for the program. */
export const CONTROL_SOCKET = "control";

/**
 * What only Cloudflare says to a worker: no header of a client may say it. Who has connected is in `cf.clientIp`, which workerd sets
 * itself.
 */
const NOT_OF_CLIENTS = [
  ...["CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Pseudo-IPv4", "True-Client-IP", "CF-IPCountry", "CF-Ray"],
  ...["CF-Visitor", "CF-Worker", "CF-EW-Via", "CF-Connecting-O2O"],
];

/** As the Node programs have it (package.json): with 1 MiB, V8 copies what requests in flight hold again and again. */
const V8_FLAGS = ["--min-semi-space-size=8", "--max-semi-space-size=8"];

/** Miniflare's key of the one namespace that holds D1 databases, in whose files an earlier `npm start` has kept its accounts. */
const ACCOUNTS_KEY = "miniflare-D1DatabaseObject";

/** workerd's configuration of an edge, as Cap'n Proto's text. Paths of modules are relative to the file with it. */
export function workerdConfig(parts: WorkerdConfigParts): string {
  const { build, config, stateDirectory } = parts;
  const { compatibilityDate, compatibilityFlags } = build.bindings;
  const runtime = `compatibilityDate = ${text(compatibilityDate)}, compatibilityFlags = ${list(compatibilityFlags.map(text))}`;
  const ownsState = stateDirectory !== undefined;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = ${list([
    `(name = "edge", worker = (
      modules = ${list(["main.js", "entry.js", "index.js"].map(moduleText))},
      ${runtime},
      bindings = ${list(workerBindings(parts))},
      ${ownsState ? durableObjects(build) : ""}
      globalOutbound = "network"))`,
    `(name = "assets", worker = (
      modules = ${list([moduleText("static-files.js")])},
      ${runtime},
      bindings = [(name = "FILES", service = "asset-files")]))`,
    disk("asset-files", join(build.directory, "assets"), false),
    ...(ownsState ? stateServices(build, runtime, stateDirectory) : []),
    `(name = "network", network = (
      allow = ["local", "private", "public"],
      tlsOptions = (trustBrowserCas = true, trustedCertificates = ${list(config.trustedCertificates.map(text))})))`,
    `(name = "host", external = (
      address = ${text(parts.hostAddress)},
      http = (injectRequestHeaders = [(name = "Authorization", value = ${text(parts.authorization)})])))`,
  ])},
  sockets = ${list([
    `(name = "${PUBLIC_SOCKET}", address = ${text(addressText(config))}, ${protocol(config)}, service = "edge")`,
    `(name = "${CONTROL_SOCKET}", address = ${text(parts.controlAddress)}, http = (), service = (name = "edge", entrypoint = "Control"))`,
  ])},
  v8Flags = ${list(V8_FLAGS.map(text))},
  extensions = [(modules = ${list([
    `(name = "artoria:accounts", internal = true, esModule = embed "accounts-binding.js")`,
    `(name = "artoria:rate-limit", internal = true, esModule = embed "rate-limit.js")`,
  ])})],
);
`;
}

/** Host and port as one address. */
export function addressText({ host, port }: Pick<EdgeConfig, "host" | "port">): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function workerBindings({ build, environment, stateDirectory }: WorkerdConfigParts): string[] {
  const { durableObjects, rateLimits, database, passwordHasher, assets } = build.bindings;
  return [
    ...environment.map((name) => `(name = ${text(name)}, fromEnvironment = ${text(name)})`),
    ...rateLimits.map(({ name, limit, periodSeconds }) =>
      wrapped(name, "artoria:rate-limit", [
        `(name = "limit", json = "${limit}")`,
        `(name = "periodSeconds", json = "${periodSeconds}")`,
      ]),
    ),
    `(name = ${text(assets)}, service = "assets")`,
    `(name = "HOST", service = "host")`,
    ...(stateDirectory === undefined
      ? []
      : [
          ...durableObjects.map(
            ({ name, className }) =>
              `(name = ${text(name)}, durableObjectNamespace = (className = ${text(className)}))`,
          ),
          wrapped(database, "artoria:accounts", [
            `(name = "ACCOUNTS", durableObjectNamespace = (className = "AccountsDatabase", serviceName = "accounts"))`,
          ]),
          `(name = ${text(passwordHasher)}, service = "host")`,
        ]),
  ];
}

/** Their keys, and so the folders of their files, are those of an earlier `npm start`. */
function durableObjects({ bindings }: EdgeBuild): string {
  const namespaces = bindings.durableObjects.map(({ className }) => namespaceText(className, `artoria-${className}`));
  return `durableObjectNamespaces = ${list(namespaces)},
      durableObjectStorage = (localDisk = "objects"),`;
}

function stateServices({ bindings }: EdgeBuild, runtime: string, directory: string): string[] {
  return [
    disk("objects", join(directory, "do"), true),
    disk("account-files", join(directory, "d1"), true),
    `(name = "accounts", worker = (
      modules = ${list([moduleText("accounts-database.js")])},
      ${runtime},
      bindings = [(name = "MIGRATIONS", json = ${text(JSON.stringify(bindings.migrations))})],
      durableObjectNamespaces = ${list([namespaceText("AccountsDatabase", ACCOUNTS_KEY)])},
      durableObjectStorage = (localDisk = "account-files")))`,
  ];
}

/** A class of Durable Objects that its own service has. */
export function namespaceText(className: string, uniqueKey: string): string {
  return `(className = ${text(className)}, uniqueKey = ${text(uniqueKey)}, enableSql = true)`;
}

function disk(name: string, path: string, writable: boolean): string {
  return `(name = ${text(name)}, disk = (path = ${text(path)}, writable = ${writable}))`;
}

function moduleText(file: string): string {
  return `(name = ${text(file)}, esModule = embed ${text(file)})`;
}

function wrapped(name: string, moduleName: string, innerBindings: readonly string[]): string {
  return `(name = ${text(name)}, wrapped = (moduleName = ${text(moduleName)}, innerBindings = ${list(innerBindings)}))`;
}

function protocol({ tls }: Pick<EdgeConfig, "tls">): string {
  // Without a value a header is removed, in any case and however often it was sent.
  const options = `(injectRequestHeaders = ${list(NOT_OF_CLIENTS.map((name) => `(name = ${text(name)})`))})`;
  if (tls === undefined) return `http = ${options}`;
  const keypair = `(privateKey = ${text(tls.key)}, certificateChain = ${text(tls.cert)})`;
  return `https = (options = ${options}, tlsOptions = (keypair = ${keypair}))`;
}

/** A list of Cap'n Proto's text. */
export function list(items: readonly string[]): string {
  return `[${items.join(",\n      ")}]`;
}

/** A literal of Cap'n Proto's text: as in C, in UTF-8. */
export function text(value: string): string {
  const escaped = value
    .replace(/["\\]/g, "\\$&")
    .replace(/\p{Cc}/gu, (character) =>
      [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join(""),
    );
  return `"${escaped}"`;
}
