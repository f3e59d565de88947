// HTTP/2 by Node's http2 module: plain, or over TLS, where HTTP/1.1 and its WebSockets are welcome, too. Arguments, for TLS: a
// certificate and its key.
//
// POST /echo is answered with its body, and a trailer that repeats the request's; everything else with what was seen of the
// request, as JSON. Tells its port; and GET /connections how many connections there were.

'use strict';

const fs = require('node:fs');
const http2 = require('node:http2');
const { WebSocketServer } = require('ws');

const [certificate, key] = process.argv.slice(2);

let connections = 0;

function answer(request, response) {
  if (request.url === '/connections') {
    response.end(String(connections));
  } else if (request.url === '/echo') {
    response.writeHead(200, { 'x-answer': 'echo' });
    request.on('data', (data) => response.write(data) || (request.pause(), response.once('drain', () => request.resume())));
    request.on('end', () => {
      response.addTrailers({ 'x-sum': request.trailers['x-sum'] ?? 'none' });
      response.end();
    });
  } else {
    const seen = { version: request.httpVersion, method: request.method, headers: request.headers };
    response.setHeader('content-type', 'application/json');
    response.end(request.method === 'HEAD' ? undefined : JSON.stringify(seen));
  }
}

const server = certificate
  ? http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), allowHTTP1: true }, answer)
  : http2.createServer(answer);
server.on('session', () => { connections += 1; });
if (certificate) {
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
}
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));

process.stdin.on('end', () => process.exit()).resume();
