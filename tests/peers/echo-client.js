// A WebSocket client that talks to a server that echoes. Arguments: URL, options for the socket as JSON.
// Tells what was negotiated, how many messages came back as they were sent, and how it ended.

'use strict';

const WebSocket = require('ws');

const [url, options] = process.argv.slice(2);
const { protocols = [], ...rest } = JSON.parse(options ?? '{}');
const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...rest });

const large = Buffer.alloc(1024 * 1024, 'sluicegate ');
const messages = [
  { data: 'grüß dich', pieces: ['grüß dich'] },
  { data: Buffer.from([0, 255, 1, 254]), pieces: [Buffer.from([0, 255, 1, 254])] },
  { data: 'in three frames', pieces: ['in ', 'three ', 'frames'] },
  { data: large, pieces: [large] },
  { data: '', pieces: [''] },
];

let echoed = 0;
let pongs = 0;

const sendNext = () => {
  const message = messages[echoed];
  if (!message) return socket.ping('are you there');
  message.pieces.forEach((piece, index) => socket.send(piece, { fin: index === message.pieces.length - 1 }));
};

const fail = (text) => {
  console.error(text);
  process.exit(1);
};

socket.on('open', sendNext);
socket.on('error', (error) => fail(error.message));
socket.on('message', (data, isBinary) => {
  const { data: sent } = messages[echoed];
  if (isBinary !== Buffer.isBuffer(sent)) fail(`message ${echoed} came back as another kind`);
  if (!data.equals(Buffer.from(sent))) fail(`message ${echoed} came back changed`);
  echoed += 1;
  sendNext();
});
socket.on('pong', (data) => {
  if (data.toString() === 'are you there') pongs += 1;
  socket.close(3000, 'done');
});
socket.on('close', (code, reason) => {
  const { extensions, protocol } = socket;
  console.log(JSON.stringify({ extensions, protocol, echoed, pongs, code, reason: reason.toString() }));
  process.exit();
});

process.stdin.on('end', () => process.exit(1)).resume();
