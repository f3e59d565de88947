// A plugin in JavaScript: who says what in a chat of JSON messages.
//
// A WebSocket opens only with `?user=NAME`. Each message of the client must be a JSON object whose `type` is among the
// setting `types`; it goes on with `from` set to that name, whatever the client wrote there. Any other closes the session.

import { log } from 'sluicegate:hooks/log@0.1.0';

const MAX_USER_LENGTH = 32;
const POLICY_VIOLATION = 1008;

let types = new Set();

export const lifecycle = {
  configure(settings) {
    const { types: wanted, ...others } = JSON.parse(settings);
    const unknown = Object.keys(others);
    if (unknown.length > 0) throw `${unknown[0]}: unknown setting; there is but \`types\``;
    if (!Array.isArray(wanted) || wanted.length === 0) throw 'types: list at least one, such as ["chat"]';
    types = new Set(wanted);
  },
};

export const requestHook = {
  onRequest(request) {
    if (!request.isWebsocket()) return { tag: 'pass' };
    const user = userOf(request);
    if (user === undefined) return respond(400, 'who are you? add ?user=NAME\n');
    request.setAttribute('user', user);
    return { tag: 'pass' };
  },
};

class Session {
  static open(request, connection) {
    const session = new Session();
    session.user = request.attribute('user');
    // What the server says is none of our business, and costs nothing then.
    connection.inspect('upstream', {});
    return session;
  }

  onMessage(connection, sender, message) {
    const said = message.tag === 'text' ? parse(message.val) : undefined;
    if (said === undefined || !types.has(said.type)) {
      log('info', `${this.user} said what is not in this chat`);
      return { tag: 'close', val: { code: POLICY_VIOLATION, reason: 'not a message of this chat' } };
    }
    return { tag: 'replace', val: { tag: 'text', val: JSON.stringify({ ...said, from: this.user }) } };
  }

  onTimer() {}
  onDrain() {}
  onClose() {}

  // The next version of the plugin takes over open sessions by these two.
  exportState() {
    return new TextEncoder().encode(this.user);
  }

  static importState(connection, state) {
    const session = new Session();
    session.user = new TextDecoder().decode(state);
    connection.inspect('upstream', {});
    return session;
  }
}

export const sessionHook = { Session };

function userOf(request) {
  const pairs = (request.query() ?? '').split('&').map((pair) => pair.split('='));
  const user = pairs.find(([name]) => name === 'user')?.[1] ?? '';
  return /^[\w-]+$/.test(user) && user.length <= MAX_USER_LENGTH ? user : undefined;
}

/** The object that `text` is in JSON; undefined where it is anything else. */
function parse(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function respond(status, text) {
  const headers = [{ name: 'content-type', value: new TextEncoder().encode('text/plain; charset=utf-8') }];
  return { tag: 'respond', val: { status, headers, body: new TextEncoder().encode(text) } };
}
