// A proxy that sees messages, as one writes it with Node and `ws`: a server towards the clients, a client towards the
// backend, and each message of one side sent on the other. Compressed with context takeover where the client offers it.
// node ws-pair.js PORT TLS_PORT BACKEND CERTIFICATE KEY
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { WebSocket, WebSocketServer } = require('ws');

const [port, tlsPort, backend, certificate, key] = process.argv.slice(2);
// `ws` leaves messages below 1 KiB uncompressed by itself; and has ten compressors at work at once.
const deflate = { threshold: 0 };
const agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
const sessions = new WebSocketServer({ noServer: true, perMessageDeflate: deflate });

serve(http.createServer(forward), port);
const files = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), minVersion: 'TLSv1.3' };
serve(https.createServer(files, forward), tlsPort);

function serve(server, port) {
  server.keepAliveTimeout = 3_600_000;
  server.on('upgrade', upgrade);
  server.listen({ port, host: '127.0.0.1', backlog: 4096 });
}

function forward(request, response) {
  const headers = { ...request.headers, 'x-forwarded-for': request.socket.remoteAddress };
  const onward = http.request({ host: '127.0.0.1', port: backend, path: request.url, method: request.method, headers, agent });
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  request.pipe(onward);
}

function upgrade(request, socket, head) {
  const offered = 'sec-websocket-extensions' in request.headers;
  const headers = { 'x-forwarded-for': request.socket.remoteAddress };
  const url = `ws://127.0.0.1:${backend}${request.url}`;
  const upstream = new WebSocket(url, { headers, perMessageDeflate: offered ? deflate : false });
  upstream.on('error', () => socket.destroy());
  upstream.on('open', () => sessions.handleUpgrade(request, socket, head, (client) => pair(client, upstream)));
}

function pair(client, upstream) {
  for (const [from, to] of [[client, upstream], [upstream, client]]) {
    from.on('message', (data, binary) => to.send(data, { binary }));
    from.on('close', () => to.close());
    from.on('error', () => to.terminate());
  }
}
