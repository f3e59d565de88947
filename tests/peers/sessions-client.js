// A WebSocket client that leads the sessions of a file, and checks what it hears. Arguments: URL, file.
//
// The file is JSON: { scripts, sessions }. A session names its path, what it offers of permessage-deflate, which answer
// it expects (RFC 7692 §7.1), and a script. A script is a list of rounds: messages to send, messages to hear, and how
// many pings to see, before the next one begins.
// Tells now and then how many sessions it has led, at last how many of them were compressed; or what went wrong.

'use strict';

const fs = require('node:fs');
const WebSocket = require('ws');

const AT_ONCE = 16;
const TELL_EVERY = 50;

const [base, file] = process.argv.slice(2);
const { scripts, sessions } = JSON.parse(fs.readFileSync(file));

const tell = (value) => console.log(JSON.stringify(value));

// A message is { text } or { binary: base64 }, repeated to `size` bytes where that is given.
const build = ({ text, binary, size, pieces = 1, compress = true }) => {
  const isBinary = text === undefined;
  const unit = isBinary ? Buffer.from(binary, 'base64') : Buffer.from(text);
  return { isBinary, data: size === undefined ? unit : Buffer.alloc(size, unit), pieces, compress };
};

for (const rounds of Object.values(scripts)) {
  for (const round of rounds) {
    round.send = (round.send ?? []).map(build);
    round.hear = (round.hear ?? []).map(build);
  }
}

const offered = (offer) => offer && {
  threshold: 0,
  serverNoContextTakeover: offer.server_no_context_takeover,
  clientNoContextTakeover: offer.client_no_context_takeover,
  serverMaxWindowBits: offer.server_max_window_bits,
  // Without a value it is offered unless this is false.
  clientMaxWindowBits: offer.client_max_window_bits ?? false,
};

const parameters = (answer) => answer.split(';').map((parameter) => parameter.trim()).sort().join('; ');

const send = (socket, { data, isBinary, pieces, compress }) => {
  const step = Math.ceil(data.length / pieces);
  for (let piece = 1; piece <= pieces; piece += 1) {
    const fin = piece === pieces;
    socket.send(data.subarray((piece - 1) * step, fin ? undefined : piece * step), { binary: isBinary, compress, fin });
  }
};

const lead = ({ path, offer, answer, script }) => new Promise((resolve, reject) => {
  const socket = new WebSocket(base + path, { perMessageDeflate: offered(offer), maxPayload: 0 });
  const rounds = scripts[script].values();
  let [round, heard, pings] = [null, 0, 0];

  const goOn = () => {
    while (!round || (heard === round.hear.length && pings >= (round.pings ?? 0))) {
      round = rounds.next().value;
      [heard, pings] = [0, 0];
      if (!round) return socket.close(1000);
      round.send.forEach((message) => send(socket, message));
    }
  };

  socket.on('upgrade', ({ headers }) => {
    const found = parameters(headers['sec-websocket-extensions'] ?? '');
    if (found !== answer) reject(new Error(`${answer} was to be answered, found ${found}`));
  });
  socket.on('open', goOn);
  socket.on('message', (data, isBinary) => {
    const wanted = round?.hear[heard];
    if (!wanted || wanted.isBinary !== isBinary || !wanted.data.equals(data)) {
      reject(new Error(`${wanted?.data.length} bytes were to come, found ${data.length}: ${data.subarray(0, 40)}`));
    }
    heard += 1;
    goOn();
  });
  socket.on('ping', () => {
    pings += 1;
    goOn();
  });
  socket.on('error', reject);
  socket.on('close', (code) => {
    if (code !== 1000 || round) reject(new Error(`closed with ${code}`));
    resolve(socket.extensions !== '');
  });
});

const main = async () => {
  let [led, compressed] = [0, 0];
  const waiting = sessions.values();
  const leadMany = async () => {
    for (const session of waiting) {
      const wasCompressed = await lead(session).catch((error) => {
        throw new Error(`${JSON.stringify(session)}: ${error.message}`);
      });
      led += 1;
      compressed += wasCompressed ? 1 : 0;
      if (led % TELL_EVERY === 0) tell({ led });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, leadMany));
  tell({ done: { led, compressed } });
};

main().then(() => process.exit(), ({ message }) => {
  tell({ failed: message });
  process.exit(1);
});

process.stdin.on('end', () => process.exit(1)).resume();
