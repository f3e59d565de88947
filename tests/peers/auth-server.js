// An HTTP server that a plugin asks. GET /verify: 200 for `Bearer ann`, else 401. /slow is never answered, /delayed after
// 300 ms, /mib with 1 MiB, /large with one byte more, /broken with half of what it announces; any other path with its name.
// Tells its port.

'use strict';

const http = require('node:http');

const MIB = 1 << 20;

const answers = {
  '/verify': (request, response) => {
    const known = request.headers.authorization === 'Bearer ann';
    response.writeHead(known ? 200 : 401).end(known ? 'ann' : 'who are you?\n');
  },
  '/slow': () => {},
  '/delayed': (request, response) => setTimeout(() => response.end('at last'), 300),
  '/mib': (request, response) => response.end(Buffer.alloc(MIB)),
  '/large': (request, response) => response.end(Buffer.alloc(MIB + 1)),
  '/broken': (request, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('half.', () => request.socket.destroy());
  },
};

const server = http.createServer((request, response) => {
  const answer = answers[request.url] ?? (() => response.end(request.url));
  answer(request, response);
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));

process.stdin.on('end', () => process.exit()).resume();
