// A WebSocket server that sends every message back. Argument: options for the server, as JSON.
// Tells its port, then of each connection what was negotiated and how it was closed; with `quiet`, nothing of them.

'use strict';

const { WebSocketServer } = require('ws');

const tell = (value) => console.log(JSON.stringify(value));

const { quiet, ...options } = JSON.parse(process.argv[2] ?? '{}');
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options });
server.on('listening', () => tell({ port: server.address().port }));
server.on('connection', (socket, request) => {
  socket.on('error', (error) => quiet || tell({ error: error.message }));
  if (quiet) {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    return;
  }
  tell({ opened: { extensions: socket.extensions, protocol: socket.protocol, path: request.url } });
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on('close', (code, reason) => tell({ closed: { code, reason: reason.toString() } }));
});

process.stdin.on('end', () => process.exit()).resume();
