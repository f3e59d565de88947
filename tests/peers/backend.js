// One of several backends: HTTP and WebSocket at one address. Arguments: name, host, port (0: any).
// Greets each session with its name, then sends every message back; GET /health is answered with 200.
// Tells its port.

'use strict';

const http = require('node:http');
const { WebSocketServer } = require('ws');

const [name, host, port] = process.argv.slice(2);

const server = http.createServer((request, response) => response.end(request.url === '/health' ? 'fine' : name));
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => {
  socket.send(name);
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(Number(port), host, () => console.log(JSON.stringify({ port: server.address().port })));

process.stdin.on('end', () => process.exit()).resume();
