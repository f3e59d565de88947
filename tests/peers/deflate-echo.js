// A WebSocket server that sends every message back, every fourth of a connection uncompressed. The request's query says
// which parameters of permessage-deflate (RFC 7692 §7.1) it answers with, or `off`.
// Tells its port.

'use strict';

const http = require('node:http');
const { WebSocketServer } = require('ws');

const servers = new Map();

const settings = (query) => {
  const number = (name) => (query.has(name) ? Number(query.get(name)) : undefined);
  return !query.has('off') && {
    threshold: 0,
    serverNoContextTakeover: query.has('server_no_context_takeover') || undefined,
    clientNoContextTakeover: query.has('client_no_context_takeover') || undefined,
    serverMaxWindowBits: number('server_max_window_bits'),
    clientMaxWindowBits: number('client_max_window_bits'),
  };
};

const serverFor = (query) => {
  const key = query.toString();
  if (!servers.has(key)) {
    const limits = { maxPayload: 0, maxFragments: 0, maxBufferedChunks: 0 };
    servers.set(key, new WebSocketServer({ noServer: true, perMessageDeflate: settings(query), ...limits }));
  }
  return servers.get(key);
};

const echo = (socket) => {
  let count = 0;
  socket.on('message', (data, isBinary) => {
    count += 1;
    socket.send(data, { binary: isBinary, compress: count % 4 !== 0 });
  });
  socket.on('error', (error) => console.error(error.message));
};

const server = http.createServer();
server.on('upgrade', (request, stream, head) => {
  const { searchParams } = new URL(request.url, 'http://localhost');
  serverFor(searchParams).handleUpgrade(request, stream, head, echo);
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));

process.stdin.on('end', () => process.exit()).resume();
