// MQTT clients, of versions 3.1.1 and 5, through the paths given to one broker. Arguments: URL, paths.
// Tells of each path and version how many messages came as they were published, and the will of a client that was lost.

'use strict';

const assert = require('node:assert/strict');
const mqtt = require('mqtt');

const [url, ...modes] = process.argv.slice(2);
const PAYLOADS = [Buffer.alloc(0), Buffer.from('grüß dich'), Buffer.alloc(127, 1), Buffer.alloc(100_000, 'sluicegate ')];

// With 1 a broker that counts whole seconds may give up a client whose ping is a moment late.
const KEEPALIVE_SECONDS = 2;

const connect = (mode, protocolVersion, options) =>
  mqtt.connectAsync(url + mode, { protocolVersion, keepalive: KEEPALIVE_SECONDS, reconnectPeriod: 0, ...options });

const run = async (mode, version) => {
  const topic = `${mode.slice(1)}/${version}`;
  const [subscriber, publisher, lost] = await Promise.all([
    connect(mode, version),
    connect(mode, version),
    connect(mode, version, { will: { topic: `${topic}/will`, payload: 'gone', qos: 1 } }),
  ]);
  const heard = [];
  const pinged = new Promise((resolve) => subscriber.on('packetreceive', ({ cmd }) => cmd === 'pingresp' && resolve()));
  const will = new Promise((resolve) => subscriber.on('message', (from, payload) => {
    if (from === `${topic}/will`) resolve(payload.toString());
    else heard.push([from, payload]);
  }));
  await subscriber.subscribeAsync(`${topic}/#`, { qos: 2 });
  const published = [0, 1, 2].flatMap((qos) => PAYLOADS.map((payload, at) => ({ topic: `${topic}/${qos}/${at}`, payload, qos })));
  await Promise.all(published.map(({ topic: to, payload, qos }) => publisher.publishAsync(to, payload, { qos })));
  lost.stream.destroy();
  const told = { mode, version, heard: 0, will: await will };
  await pinged;
  while (heard.length < published.length) await new Promise((resolve) => subscriber.once('message', resolve));
  const sorted = (messages) => messages.sort(([one], [other]) => one.localeCompare(other));
  assert.deepEqual(sorted(heard), sorted(published.map(({ topic: to, payload }) => [to, payload])));
  told.heard = heard.length;
  await Promise.all([subscriber.endAsync(), publisher.endAsync()]);
  return told;
};

Promise.all(modes.flatMap((mode) => [4, 5].map((version) => run(mode, version)))).then((told) => {
  console.log(JSON.stringify(told));
  process.exit();
});

process.stdin.on('end', () => process.exit(1)).resume();
