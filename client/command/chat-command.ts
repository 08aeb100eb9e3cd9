import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { isRoomName } from "../../protocol/player-packets.ts";
import { parseToken } from "../../protocol/session-token.ts";
import { Status, statusName } from "../../protocol/status-codes.ts";
import { Chat } from "../chat/chat.ts";
import { Connector, type TlsTrust } from "../connector.ts";
import { tlsTransport } from "../node/tls-transport.ts";
import { ReliableConnection } from "../reliable/reliable-connection.ts";
import { ServiceClient } from "../service-client.ts";
import {
  addBridgeOptions,
  type BridgeOptions,
  clientOptions,
  connectorOptions,
  wholeNumber,
} from "./bridge-options.ts";
import { ChatTerminal } from "./chat-terminal.ts";
import { ExitCode } from "./exit-code.ts";

interface ChatOptions extends BridgeOptions {
  readonly room: string;
  readonly user?: string;
  readonly token?: Uint8Array;
  readonly playerPort: number;
  readonly fingerprint?: string;
  readonly ca?: string;
}

/** Adds `chat`: a room in the terminal, over TLS. */
export function addChatCommand(program: Command): void {
  const command = program
    .command("chat")
    .description("chat in a room, over TLS; /who lists who is there, /quit leaves")
    .requiredOption("--room <room>", "the room's name", roomName)
    .option("--user <user>", "issue a session for this user, at the game-server port")
    .addOption(new Option("--token <token>", "use this session").env("ARTORIA_TOKEN").argParser(token))
    .addOption(
      new Option("--player-port <port>", "the bridge's player port")
        .env("PLAYER_PORT")
        .default(7001)
        .argParser((text) => wholeNumber(text, 1, 65_535)),
    )
    .option(
      "--fingerprint <sha256>",
      "believe the one certificate with this SHA-256, as `npm start` prints it",
      fingerprint,
    )
    .option("--ca <file>", "believe these authorities (PEM) for the player port");
  addBridgeOptions(command).action(chat);
}

async function chat(options: ChatOptions): Promise<void> {
  const shown = options.token ?? (await issueToken(options));
  if (shown === undefined) return;
  const { host, playerPort: port, room } = options;
  const connection = new ReliableConnection({
    transport: tlsTransport({ host, port, token: shown, trust: playerTrust(options) }),
    room,
  });
  const terminal = new ChatTerminal(connection, room);
  const unreachable = failUnlessJoined(connection, options.timeout, (reason) => {
    terminal.show({ kind: "status", tone: "bad", text: `No connection yet: ${reason}` });
  });
  const lines = new Chat(connection, (line) => terminal.show(line));
  terminal.open(lines);
  connection.connect();
  const { code } = await Promise.race([connection.closed, unreachable]).finally(() => terminal.close());
  process.exitCode = code === ClosedCode.Left && terminal.hasAskedToLeave ? ExitCode.Ok : ExitCode.Verdict;
}

/** The token of a new session for the user, from the game-server port; undefined, after a message, if it was refused. */
async function issueToken(options: ChatOptions): Promise<Uint8Array | undefined> {
  if (options.user === undefined) throw new Error("--user or --token is needed");
  const connector = new Connector(connectorOptions(options));
  const client = await ServiceClient.open({ connector, ...clientOptions(options) });
  try {
    const response = await client.request({ kind: "issue", user: options.user, ip: null });
    if (response.status === Status.Ok) return response.token;
    process.stderr.write(`artoria: no session for this user: ${statusName(response.status)}\n`);
    process.exitCode = ExitCode.Verdict;
    return undefined;
  } finally {
    client.close();
  }
}

/** A joined connection reconnects by itself. One that never joined most likely has a wrong address, so it fails in time. */
function failUnlessJoined(
  connection: ReliableConnection,
  timeoutMs: number,
  tell: (reason: string) => void,
): Promise<never> {
  let reason = `no response within ${timeoutMs} ms`;
  const stopListening = connection.on("connectionLost", (event) => {
    if (reason !== event.reason) tell(event.reason);
    reason = event.reason;
  });
  return new Promise((_resolve, reject) => {
    const timer = setTimeout(() => {
      connection.disconnect();
      reject(new Error(reason));
    }, timeoutMs);
    for (const kind of ["joined", "closed"] as const) {
      connection.on(kind, () => {
        clearTimeout(timer);
        stopListening();
      });
    }
  });
}

function playerTrust({ fingerprint, ca }: ChatOptions): TlsTrust {
  if (fingerprint !== undefined) return { fingerprint };
  return ca === undefined ? {} : { ca: readFileSync(ca, "utf8") };
}

function roomName(text: string): string {
  if (isRoomName(text)) return text;
  throw new InvalidArgumentError("Allowed are 1..64 of A-Z a-z 0-9 _ . -");
}

function token(text: string): Uint8Array {
  const bytes = parseToken(text);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError("Allowed are the 27 characters that `issue` prints.");
}

function fingerprint(text: string): string {
  if (/^([0-9a-f]{2}:?){31}[0-9a-f]{2}$/i.test(text)) return text;
  throw new InvalidArgumentError("Allowed are 32 bytes in hex, with or without colons.");
}
