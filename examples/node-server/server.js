// Says back whatever it hears, over WebSocket; says hello over plain HTTP. Both on port 3000.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const PORT = 3000;

const http = createServer((request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`hello from Node.js, ${request.headers["x-real-ip"] ?? "whoever you are"}\n`);
});

const webSockets = new WebSocketServer({ server: http, maxPayload: 1024 * 1024 });

webSockets.on("connection", (socket, request) => {
  // The socket's own peer is the proxy; the client stands in the field the proxy set.
  const client = request.headers["x-real-ip"] ?? request.socket.remoteAddress;
  console.log(`${client} came`);
  socket.send("welcome");
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on("error", (error) => console.log(`${client}: ${error.message}`));
  socket.on("close", (code) => console.log(`${client} left with ${code}`));
});

http.listen(PORT, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${PORT}`));
