import { WebSocketServer } from "ws";

/** A WebSocket server that holds connections, as the README of ws advises for many of them: without compression. */
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.env["PORT"]), perMessageDeflate: false });
server.on("connection", (socket) => {
  socket.on("message", (message) => socket.send(message));
  socket.on("error", () => socket.terminate());
});
