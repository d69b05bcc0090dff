// What no SDK sends: raw requests, which Deed has to answer as its documents say whatever the server would do.
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const VERSION = '2026-07-28';
const meta = { 'io.modelcontextprotocol/protocolVersion': VERSION, 'io.modelcontextprotocol/clientCapabilities': {} };
const modern = (method, name) => ({ 'mcp-protocol-version': VERSION, 'mcp-method': method, ...(name && { 'mcp-name': name }) });
const message = (method, params, id = 1) => JSON.stringify({ jsonrpc: '2.0', id, method, params: { ...params, _meta: meta } });
const echo = (args) => message('tools/call', { name: 'echo', arguments: args });
const flood = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 'x'.repeat(64 << 10) } });
const CALL = modern('tools/call', 'echo');
const ANY = 'any status';

/** Sends a body as it is; the status, headers and text of the answer. */
function send(url, body, headers = {}, method = 'POST') {
  const base = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  return new Promise((resolve, reject) => {
    const asking = request(url, { method, agent: false, headers: { ...base, ...headers } }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(parts).toString() }));
      answer.on('error', reject);
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

const code = ({ text }) => {
  try {
    const line = text.includes('data:') ? text.split('\n').findLast((one) => one.startsWith('data: {')).slice(5) : text;
    return JSON.parse(line).error?.code ?? 'result';
  } catch {
    return 'none';
  }
};

/**
 * A server that checks nothing and answers every call, so that what is refused was refused by Deed. Who subscribes is told
 * more than a connection holds, and then nothing, for ever.
 */
export async function lenientServer() {
  const heard = [];
  const subscribed = new Set();
  const server = createServer(async (asked, answer) => {
    const parts = [];
    for await (const part of asked) parts.push(part);
    const body = Buffer.concat(parts).toString();
    heard.push(body);
    const { id, method } = parse(body) ?? {};
    if (method === 'subscriptions/listen') {
      subscribed.add(answer);
      answer.on('close', () => subscribed.delete(answer));
      answer.writeHead(200, { 'content-type': 'text/event-stream' });
      for (let at = 0; at < 200; at += 1) answer.write(`data: ${flood}\n\n`);
      return;
    }
    const discovered = { supportedVersions: [VERSION], capabilities: { tools: {} }, ttlMs: 0, cacheScope: 'private' };
    const result = method === 'server/discover' ? discovered : { content: [{ type: 'text', text: 'heard' }] };
    answer.writeHead(200, { 'content-type': 'application/json' });
    answer.end(JSON.stringify({ jsonrpc: '2.0', id: id ?? null, result: { resultType: 'complete', ...result } }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { at: `http://127.0.0.1:${server.address().port}/mcp`, heard, subscribed, stop: () => server.close() };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What Deed refuses by itself: the name, what is sent, and the status and JSON-RPC code that have to come. */
const refused = (url) => [
  ['two members of one name', () => send(url, echo({}).replace('"arguments":{}', '"arguments":{"a":1,"a":2}'), CALL), 400],
  ['two members of one name, one escaped', () => send(url, echo({}).replace('"arguments":{}', '"arguments":{"a":1,"\\u0061":2}'), CALL), 400],
  ['two names of the tool', () => send(url, echo({}).replace('"name":"echo"', '"name":"echo","name":"large"'), CALL), 400],
  ['a batch', () => send(url, `[${echo({})},${echo({})}]`, CALL), 400],
  ['not UTF-8', () => send(url, Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":1,"method":"ping","x":"'), Buffer.from([0xff]), Buffer.from('"}')]), modern('ping')), 400],
  ['an id of null', () => send(url, echo({}).replace('"id":1', '"id":null'), CALL), 400],
  ['nothing', () => send(url, '', CALL), 400],
  ['not JSON', () => send(url, '{"jsonrpc"', CALL), 400],
  ['two messages in one body', () => send(url, echo({}) + echo({}), CALL), 400],
  ['deep nesting', () => send(url, echo({}).replace('"arguments":{}', `"arguments":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`), CALL), 400],
  ['another method in the header', () => send(url, echo({}), modern('tools/list', 'echo')), 400, -32020],
  ['another name in the header', () => send(url, echo({}), modern('tools/call', 'large')), 400, -32020],
  ['no name in the header', () => send(url, echo({}), modern('tools/call')), 400, -32020],
  ['two names in headers', () => send(url, echo({}), { ...CALL, 'mcp-name': ['large', 'echo'] }), 400],
  ['another version in the header', () => send(url, echo({}), { ...CALL, 'mcp-protocol-version': '2025-11-25' }), 400],
  ['no version in the header', () => send(url, echo({}), { ...CALL, 'mcp-protocol-version': [] }), 400],
  ['another host', () => send(url, echo({}), { ...CALL, host: 'evil.example.com' }), 403],
  ['another site', () => send(url, echo({}), { ...CALL, origin: 'https://evil.example.com' }), 403],
  ['no site', () => send(url, echo({}), { ...CALL, origin: 'null' }), 403],
  ['a site with a name like this host', () => send(url, echo({}), { ...CALL, origin: 'http://localhost.evil.example.com' }), 403],
  ['a server that is not configured', () => send(url.replace(/\/\w+$/, '/none'), echo({}), CALL), 404],
  ['a path below', () => send(`${url}/x`, echo({}), CALL), 404],
  ['a path upwards', () => send(`${url}/../fixtures/%2e%2e/admin`, echo({}), CALL), 404],
  ['another kind of content', () => send(url, echo({}), { ...CALL, 'content-type': 'text/plain' }), 415],
];

/** What the server answers, as it would without Deed, or what passes a limit. */
const forwarded = (url) => [
  ['a call', () => send(url, echo({ a: 1 }), CALL), 200, 'result'],
  ['PUT', () => send(url, echo({}), CALL, 'PUT'), 405],
  ['an unknown session', () => send(url, '{"jsonrpc":"2.0","id":1,"method":"ping"}', { 'mcp-session-id': 'none', 'mcp-protocol-version': '2025-11-25' }), 404],
  ['no session', () => send(url, '{"jsonrpc":"2.0","id":1,"method":"ping"}', { 'mcp-protocol-version': '2025-11-25' }), 400],
  ['an unknown method', () => send(url, message('no/such'), modern('no/such')), 404, -32601],
  ['a result of 100 MB', () => send(url, message('tools/call', { name: 'large', arguments: { bytes: 100_000_000 } }), modern('tools/call', 'large')), ANY, -31502],
  ['a request of 100 MB', () => send(url, echo({ a: 'x'.repeat(100_000_000) }), CALL).catch((error) => ({ status: error.code === 'EPIPE' || error.code === 'ECONNRESET' ? 413 : 0, text: '' })), 413],
  ['a call after all that', () => send(url, echo({ a: 1 }), CALL), 200, 'result'],
];

/** Clients that send half of a request and go, and clients that go while an answer is streamed to them, unread or not. */
async function leave(url, lenient) {
  const { hostname, port, pathname } = new URL(url);
  const half = connect(Number(port), hostname);
  await once(half, 'connect');
  half.write(`POST ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"jsonrpc"`);
  half.resetAndDestroy();
  for (let at = 0; at < 20; at += 1) await listen(url, 0);
  await Promise.all(Array.from({ length: 10 }, () => listen(lenient, 500)));
}

async function listen(url, milliseconds) {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...modern('subscriptions/listen') };
  const asking = request(url, { method: 'POST', agent: false, headers });
  asking.on('error', () => {});
  asking.end(message('subscriptions/listen', { notifications: { toolsListChanged: true } }));
  const [answer] = await once(asking, 'response');
  answer.on('error', () => {});
  await sleep(milliseconds);
  asking.destroy();
}

/** Sends all of it; the number of answers that are wrong. `lenient` is where the lenient server is behind Deed. */
export async function hostile(url, lenient, { heard, subscribed }, print) {
  let wrong = 0;
  print('\nhostile requests');
  await leave(url, lenient);
  for (let waited = 0; subscribed.size > 0 && waited < 100; waited += 1) await sleep(100);
  if (subscribed.size > 0) wrong += 1;
  print(`  ${subscribed.size === 0 ? 'right    ' : 'WRONG    '} clients that leave: the server still tells ${subscribed.size} of 10`);
  for (const [name, ask, status, expected] of [...refused(lenient), ...forwarded(url)]) {
    const before = heard.filter((body) => body.includes('tools/call')).length;
    const answer = await ask().catch((error) => ({ status: 0, text: String(error), headers: {} }));
    const passed = heard.filter((body) => body.includes('tools/call')).length - before;
    const right = (status === ANY || answer.status === status) && (expected === undefined || code(answer) === expected) && passed === 0;
    if (!right) wrong += 1;
    const wanted = `${status}${expected === undefined ? '' : ` ${expected}`}`;
    const got = `${answer.status} ${code(answer)}${passed > 0 ? ', and the server heard of it' : ''} ${answer.text.slice(0, 200)}`;
    print(`  ${right ? 'right    ' : 'WRONG    '} ${name}: ${wanted}${right ? '' : `, but got ${got}`}`);
  }
  return wrong;
}
