// socket.io clients of the servers below the paths given, over WebSocket and over polling that upgrades to it.
// Arguments: URL, paths. Tells of each path the transports its clients ended up with.

'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { io } = require('socket.io-client');

const [url, ...modes] = process.argv.slice(2);
const LARGE = Buffer.alloc(200_000, 'sluicegate ');
const VALUES = ['grüß dich', 7, { nested: [Buffer.from([0, 255]), LARGE], empty: '' }, Buffer.alloc(0), null];

const next = (socket, event) => new Promise((resolve) => socket.once(event, (...values) => resolve(values)));

const connect = async (mode, transports) => {
  const socket = io(url, { path: `${mode}/socket.io`, transports, forceNew: true, perMessageDeflate: { threshold: 0 } });
  socket.on('connect_error', (error) => assert.fail(`${mode} ${transports}: ${error.message}`));
  await next(socket, 'connect');
  if (transports[0] === 'polling') await next(socket.io.engine, 'upgrade');
  return socket;
};

const talk = async (socket) => {
  assert.deepEqual(await new Promise((resolve) => socket.emit('acknowledged', ...VALUES, (...heard) => resolve(heard))), VALUES);
  for (let round = 0; round < 20; round += 1) {
    const heard = next(socket, 'echo');
    socket.emit('echo', round, ...VALUES);
    assert.deepEqual(await heard, [round, ...VALUES]);
  }
  socket.once('question', (question, answer) => answer(`${question}, fine`));
  assert.equal(await socket.emitWithAck('ask back'), 'how are you?, fine');
};

const run = async (mode) => {
  const sockets = await Promise.all([connect(mode, ['websocket']), connect(mode, ['polling', 'websocket'])]);
  await Promise.all(sockets.map(talk));
  await Promise.all(sockets.map((socket) => socket.emitWithAck('join', 'lobby')));
  const heard = next(sockets[1], 'from room');
  sockets[0].emit('to room', 'lobby', LARGE);
  assert.deepEqual(await heard, [LARGE]);
  // The server's heartbeats, which a client that did not answer would not survive.
  await Promise.all(sockets.map(async ({ io: { engine } }) => {
    for (let beat = 0; beat < 3; beat += 1) await once(engine, 'heartbeat');
  }));
  const transports = sockets.map((socket) => socket.io.engine.transport.name);
  sockets.forEach((socket) => socket.disconnect());
  return { mode, transports };
};

Promise.all(modes.map(run)).then((told) => {
  console.log(JSON.stringify(told));
  process.exit();
});

process.stdin.on('end', () => process.exit(1)).resume();
