// socket.io servers, one below each path given: they acknowledge and echo what they hear, and ask back.
// Tells its port.

'use strict';

const http = require('node:http');
const { Server } = require('socket.io');

const server = http.createServer();
for (const path of process.argv.slice(2)) {
  // The others' handshakes are not this one's to end.
  const options = { path: `${path}/socket.io`, destroyUpgrade: false, pingInterval: 200, perMessageDeflate: { threshold: 0 } };
  new Server(server, options).on('connection', (socket) => {
    socket.on('acknowledged', (...values) => values.pop()(...values));
    socket.on('echo', (...values) => socket.emit('echo', ...values));
    socket.on('ask back', async (done) => done(await socket.emitWithAck('question', Buffer.from('how are you?'))));
    socket.on('join', (room, done) => {
      socket.join(room);
      done();
    });
    socket.on('to room', (room, value) => socket.to(room).emit('from room', value));
  });
}
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));

process.stdin.on('end', () => process.exit()).resume();
