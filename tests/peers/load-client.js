// WebSocket sessions that go on talking to an echo server, each message with its number, until a line is read from
// standard input. Behind the proxy's plugin `version` an echo comes back as `v2#8 7`: by which version, its count of the
// session's messages, and what was said. Arguments: URL, how many sessions, and the paths that they are spread over.
//
// Tells how many are open, and when each of them has heard something; at last what was heard: messages, and by path the versions that sessions ended with; or what went
// wrong: a session or a message that was lost, doubled or out of order, a count that began anew, an older version after
// a newer one.

'use strict';

const readline = require('node:readline');
const WebSocket = require('ws');

const AT_ONCE = 64;
// Messages under way in each session, and of all sessions together in a second.
const UNDER_WAY = 4;
const MESSAGES_PER_S = 2000;

const [base, count, ...paths] = process.argv.slice(2);
const tell = (value) => console.log(JSON.stringify(value));
const fail = (text) => {
  tell({ failed: text });
  process.exit(1);
};

// Between hearing a message and saying the next, on average.
const pauseMs = (Number(count) * UNDER_WAY * 1000) / MESSAGES_PER_S;
const pause = () => Math.random() * pauseMs * 2;

let stopping = false;
let messages = 0;
let silent = Number(count);

class Session {
  constructor(number) {
    this.path = paths[number % paths.length];
    this.name = `session ${number} at ${this.path}`;
    [this.said, this.heard, this.version] = [0, 0, 0];
    this.ended = new Promise((resolve) => { this.end = resolve; });
  }

  open() {
    this.socket = new WebSocket(base + this.path, { perMessageDeflate: false });
    this.socket.on('message', (data) => this.hear(data.toString()));
    this.socket.on('error', (error) => fail(`${this.name}: ${error.message}`));
    this.socket.on('close', (code) => {
      if (!this.closing || code !== 1000) fail(`${this.name} was closed with ${code} after ${this.heard} messages`);
      this.end();
    });
    return new Promise((resolve) => this.socket.on('open', resolve));
  }

  begin() {
    for (let said = 0; said < UNDER_WAY; said += 1) setTimeout(() => this.say(), pause());
  }

  say() {
    if (stopping) return;
    this.send();
  }

  send() {
    this.socket.send(String(this.said));
    this.said += 1;
  }

  hear(text) {
    const [, version, counted, said] = /^v(\d+)#(\d+) (\d+)$/.exec(text) ?? fail(`${this.name} heard ${text}`);
    if (Number(said) !== this.heard) fail(`${this.name}: ${this.heard} was to come, found ${text}`);
    if (Number(counted) !== this.heard + 1) fail(`${this.name}: ${this.heard + 1} was to be counted, found ${text}`);
    if (Number(version) < this.version) fail(`${this.name}: version ${this.version} was there, found ${text}`);
    this.version = Number(version);
    this.heard += 1;
    messages += 1;
    if (this.heard === 1) {
      silent -= 1;
      if (silent === 0) tell({ spoken: Number(count) });
    }
    if (stopping) this.closeWhenQuiet();
    else setTimeout(() => this.say(), pause());
  }

  closeWhenQuiet() {
    if (this.closing || this.heard < this.said) return;
    this.closing = true;
    this.socket.close(1000);
  }
}

const main = async () => {
  const sessions = Array.from({ length: Number(count) }, (_, number) => new Session(number));
  const waiting = sessions.values();
  const openMany = async () => {
    for (const session of waiting) await session.open();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, openMany));
  tell({ opened: sessions.length });
  sessions.forEach((session) => session.begin());

  const lines = readline.createInterface({ input: process.stdin });
  lines.on('close', () => process.exit(1));
  await new Promise((resolve) => lines.once('line', resolve));
  stopping = true;
  sessions.forEach((session) => session.send());
  await Promise.all(sessions.map((session) => session.ended));
  const versions = {};
  for (const { path, version } of sessions) versions[path] = [...new Set([...(versions[path] ?? []), version])];
  tell({ done: { sessions: sessions.length, messages, versions } });
};

main().then(() => process.exit(), ({ stack }) => fail(stack));
