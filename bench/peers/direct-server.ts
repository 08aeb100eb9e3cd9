import { createServer } from "node:net";
import { Redis } from "ioredis";

/**
 * What a game's own session server would be: Node, TCP, and one command to Redis per packet, with no edge between.
 * It uses the same packets. With AUTO_PIPELINING, the commands of one turn of the event loop leave in one write, as the
 * README of ioredis advises; without it each command is its own write, which is the default of ioredis. The responses of one read
 * leave in one write, in order. With INDICES a register also keeps the three indices that Artoria keeps, which counts and lists need.
 */
const CHECK = 1;
const REGISTER = 3;
const TTL_SECONDS = 1800;
const RESPONSE_BYTES = 5;

const INDICES = process.env["INDICES"] === "true";

const redis = new Redis(process.env["REDIS_URL"] ?? "", {
  enableAutoPipelining: process.env["AUTO_PIPELINING"] === "true",
});

const server = createServer({ noDelay: true }, (socket) => {
  let held: Buffer = Buffer.alloc(0);
  /** The responses of earlier reads go first. */
  let responded = Promise.resolve();
  socket.on("data", (chunk: Buffer) => {
    const bytes = held.byteLength === 0 ? chunk : Buffer.concat([held, chunk]);
    const pending: Promise<number>[] = [];
    const types: number[] = [];
    let at = 0;
    while (bytes.byteLength - at >= 4) {
      const size = bytes.readUInt16LE(at);
      if (bytes.byteLength - at < size) break;
      const type = bytes.readUInt16LE(at + 2);
      types.push(type);
      pending.push(execute(type, bytes, at));
      at += size;
    }
    held = bytes.subarray(at);
    if (pending.length === 0) return;
    const statuses = Promise.all(pending);
    responded = Promise.all([statuses, responded]).then(([values]) => void socket.write(encode(types, values)));
  });
  socket.on("error", () => socket.destroy());
});

async function execute(type: number, bytes: Buffer, at: number): Promise<number> {
  const sessid = bytes.readInt32LE(at + 4);
  if (type === CHECK) return (await redis.get(`s:${sessid}`)) === null ? 1 : 0;
  if (type !== REGISTER) return 4;
  const ip = bytes.readInt32LE(at + 8);
  const user = bytes.toString("utf8", at + 14, at + 14 + bytes.readUInt16LE(at + 12));
  if (INDICES) await registerWithIndices(sessid, user, ip);
  else await redis.set(`s:${sessid}`, JSON.stringify({ user, ip }), "EX", TTL_SECONDS);
  return 0;
}

/** One pipeline: the session, and the sets of all sessions, of the user's and of all users, sorted by expiry. */
async function registerWithIndices(sessid: number, user: string, ip: number): Promise<void> {
  const expires = Date.now() + TTL_SECONDS * 1_000;
  await Promise.all([
    redis.set(`s:${sessid}`, JSON.stringify({ user, ip }), "EX", TTL_SECONDS),
    redis.zadd("sessions", expires, sessid),
    redis.zadd(`u:${user}`, expires, sessid),
    redis.zadd("users", expires, user),
    redis.pexpireat(`u:${user}`, expires),
  ]);
}

function encode(types: readonly number[], statuses: readonly number[]): Buffer {
  const responses = Buffer.allocUnsafe(types.length * RESPONSE_BYTES);
  types.forEach((type, index) => {
    const at = index * RESPONSE_BYTES;
    responses.writeUInt16LE(RESPONSE_BYTES, at);
    responses.writeUInt16LE(type + 1, at + 2);
    responses[at + 4] = statuses[index] ?? 4;
  });
  return responses;
}

server.listen(Number(process.env["PORT"]), "127.0.0.1");
