import { randomBytes } from "node:crypto";
import { type Command, Option } from "commander";
import * as v from "valibot";
import { onStopSignals } from "../../config/stop-signals.ts";
import { printable } from "../chat/plain-text.ts";
import { type ReceivedWebhook, WebhookReceiver } from "../webhook-receiver.ts";
import { wholeNumber } from "./bridge-options.ts";
import { ExitCode } from "./exit-code.ts";

interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly secret?: string;
  readonly json?: boolean;
}

/** What an edge posts when a session has ended (docs/webhooks.md). */
const SessionEnded = v.object({
  type: v.literal("session.ended"),
  timestamp: v.string(),
  data: v.object({ reason: v.string(), sessid: v.number(), user: v.nullable(v.string()) }),
});

/** Adds `webhook` and its command. */
export function addWebhookCommands(program: Command): void {
  program
    .command("webhook")
    .description("try out the webhooks of an edge")
    .command("listen")
    .description("receive webhooks, verify their signatures and print them, until Ctrl-C")
    .addOption(
      new Option("--port <port>", "where to listen; 0: any free port")
        .default(9000)
        .argParser((text) => wholeNumber(text, 0, 65_535)),
    )
    .option("--host <address>", "the address to listen on", "127.0.0.1")
    .addOption(
      // Without a parser: its error would print the secret.
      new Option(
        "--secret <secret>",
        "WEBHOOK_SECRET of the edge; better in the environment, where `ps` does not show it. Without one, a new one is made and printed",
      ).env("WEBHOOK_SECRET"),
    )
    .option("--json", "print each message as one JSON object")
    .action(listen);
}

async function listen({ host, port, secret, json = false }: ListenOptions): Promise<void> {
  const made = secret ? undefined : `whsec_${randomBytes(32).toString("base64")}`;
  const receiver = await WebhookReceiver.open({
    host,
    port,
    secrets: made === undefined ? secretsOf(secret ?? "") : [made],
    onMessage: (message) => process.stdout.write(`${json ? JSON.stringify(message) : asText(message)}\n`),
    onRefused: (reason) => process.stderr.write(`artoria: refused: ${printable(reason)}\n`),
  });
  process.stderr.write(`artoria: listening on ${receiver.url}; Ctrl-C ends it\n`);
  if (made !== undefined) {
    process.stderr.write(`Start the edge with:\n\n  WEBHOOK_URL=${receiver.url} WEBHOOK_SECRET=${made} npm start\n\n`);
  }
  await new Promise<void>((resolve) => {
    onStopSignals(process, { first: () => resolve(), again: (exitCode) => process.exit(exitCode) });
    // Whoever reads the lines may stop first, as `head` does.
    process.stdout.on("error", () => resolve());
  });
  await receiver.close();
  process.exitCode = ExitCode.Ok;
}

/** Several, separated by spaces, while the edge changes its secret. */
function secretsOf(text: string): string[] {
  const secrets = text.split(" ").filter((secret) => secret !== "");
  if (secrets.length === 0 || !secrets.every(isSecret)) {
    throw new Error("--secret: needed is whsec_ and base64, as in the edge's WEBHOOK_SECRET");
  }
  return secrets;
}

function isSecret(text: string): boolean {
  const [, key = ""] = /^whsec_(.+)$/.exec(text) ?? [];
  return key !== "" && Buffer.from(key, "base64").toString("base64") === key;
}

function asText({ id, payload }: ReceivedWebhook): string {
  const ended = v.safeParse(SessionEnded, payload);
  if (!ended.success) return printable(`${id} ${JSON.stringify(payload)}`);
  const { type, timestamp, data } = ended.output;
  return printable(`${timestamp} ${type} ${data.reason} ${data.sessid} ${data.user ?? "-"} (id ${id})`);
}
