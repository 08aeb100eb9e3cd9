import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Server } from "socket.io";

/**
 * Rooms with Socket.IO, as its documentation has them for production: NODE_ENV=production, connection state recovery for two
 * minutes with `skipMiddlewares` (https://socket.io/docs/v4/connection-state-recovery), WebSocket only and no client files
 * (https://socket.io/docs/v4/performance-tuning); compression is off by default.
 */
const cert = process.env["TLS_CERT"];
const key = process.env["TLS_KEY"];
const server = cert === undefined ? createServer() : createTlsServer({ cert, key, minVersion: "TLSv1.3" });

const io = new Server(server, {
  connectionStateRecovery: { maxDisconnectionDuration: 2 * 60 * 1000, skipMiddlewares: true },
  transports: ["websocket"],
  serveClient: false,
});

io.on("connection", (socket) => {
  const room = String(socket.handshake.query["room"]);
  // A recovered one is in it already.
  if (!socket.recovered) void socket.join(room);
  socket.on("m", (body: unknown) => void io.to(room).emit("m", body));
});

server.listen(Number(process.env["PORT"]), "127.0.0.1");
