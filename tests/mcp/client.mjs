// One client, one server, one plan: prints what came of each step.
//   node client.mjs legacy|modern|pinned TARGET < PLAN
// `legacy` is the SDK of 2025; `modern` the one of 2026, which asks the server for its era; `pinned` speaks that of 2026 only.
import { createHash } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const [kind, target] = [process.argv[2], JSON.parse(process.argv[3])];
const steps = JSON.parse(await text(process.stdin));
const info = { name: `client-${kind}`, version: '1.0.0' };
const capabilities = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };
const notified = [];
let asked = [];
const rootsAsked = []; // by some servers whenever they like

/** Fills in a form that a server sent: the default of each field, or the first value that fits. */
function fill({ properties }) {
  const value = (field) => {
    if (field.default !== undefined) return field.default;
    const choice = field.enum?.[0] ?? (field.oneOf ?? field.anyOf)?.[0]?.const;
    if (choice !== undefined) return choice;
    const format = { email: 'a@example.com', uri: 'https://example.com/', date: '2026-01-02', 'date-time': '2026-01-02T03:04:05Z' };
    const typed = { integer: 42, number: 1.5, boolean: true, array: () => [value(field.items)], string: format[field.format] ?? 'some text' };
    return typeof typed[field.type] === 'function' ? typed[field.type]() : typed[field.type];
  };
  return Object.fromEntries(Object.entries(properties).map(([name, field]) => [name, value(field)]));
}

const answers = {
  'sampling/createMessage': () => ({ model: 'none', role: 'assistant', content: { type: 'text', text: 'sampled' } }),
  'elicitation/create': ({ requestedSchema }) => ({ action: 'accept', ...(requestedSchema && { content: fill(requestedSchema) }) }),
  'roots/list': () => ({ roots: [{ uri: 'file:///some/root', name: 'root' }] }),
};
const answer = (method) => async ({ params }) => {
  (method === 'roots/list' ? rootsAsked : asked).push([method, params ?? null]);
  return answers[method](params ?? {});
};

async function connect() {
  const old = kind === 'legacy';
  const { Client } = await import(old ? '@modelcontextprotocol/sdk/client/index.js' : '@modelcontextprotocol/client');
  const { StdioClientTransport } = await import(old ? '@modelcontextprotocol/sdk/client/stdio.js' : '@modelcontextprotocol/client/stdio');
  const { StreamableHTTPClientTransport } = await import(old ? '@modelcontextprotocol/sdk/client/streamableHttp.js' : '@modelcontextprotocol/client');
  const schemas = old ? await import('@modelcontextprotocol/sdk/types.js') : {};
  const negotiation = old ? {} : { versionNegotiation: { mode: kind === 'pinned' ? { pin: '2026-07-28' } : 'auto' } };
  const client = new Client(info, { capabilities, ...negotiation });
  const named = {
    'sampling/createMessage': 'CreateMessageRequestSchema', 'elicitation/create': 'ElicitRequestSchema', 'roots/list': 'ListRootsRequestSchema',
  };
  for (const [method, schema] of Object.entries(named)) client.setRequestHandler(old ? schemas[schema] : method, answer(method));
  client.fallbackNotificationHandler = async ({ method, params }) => void notified.push([method, params ?? null]);
  client.onerror = () => {};
  const transport = target.url ? new StreamableHTTPClientTransport(new URL(target.url)) : new StdioClientTransport({ ...target, stderr: 'inherit' });
  await client.connect(transport);
  return { client, transport, era: old || client.getDiscoverResult?.() === undefined ? 'legacy' : 'modern' };
}

const { client, transport, era } = await connect();
const call = (params, options) => (kind === 'legacy' ? client.callTool(params, undefined, options) : client.callTool(params, options));
const fresh = { cacheMode: 'bypass' };
const does = {
  'tools/list': () => client.listTools(undefined, fresh),
  'prompts/list': () => client.listPrompts(undefined, fresh),
  'resources/list': () => client.listResources(undefined, fresh),
  'resources/templates/list': () => client.listResourceTemplates(undefined, fresh),
  'resources/read': (params) => client.readResource(params, fresh),
  'prompts/get': (params) => client.getPrompt(params),
  'completion/complete': (params) => client.complete(params),
  'logging/setLevel': ({ level }) => client.setLoggingLevel(level),
  'resources/subscribe': (params) => client.subscribeResource(params),
  'resources/unsubscribe': (params) => client.unsubscribeResource(params),
  'roots/changed': () => client.sendRootsListChanged(),
  ping: () => client.ping(),
  until,
  settle: ({ milliseconds }) => sleep(milliseconds),
  parallel: (_params, { steps: inner }) => Promise.all(inner.map((one) => outcome(one))),
  listen,
  task,
  'tools/call': async (params, { progress, cancel }) => {
    const seen = [];
    const options = {
      ...(progress && { onprogress: (update) => seen.push(update) }),
      ...(cancel && { signal: AbortSignal.timeout(cancel) }),
    };
    const result = await call(params, options);
    return progress ? { result, seen: seen.filter((update) => update.progress < update.total) } : result; // the last one races the result
  },
};

/** Waits until the server has a tool. */
async function until({ tool }) {
  while (!(await does['tools/list']()).tools.some(({ name }) => name === tool)) await sleep(100);
}

async function listen(filter, { steps: inner }) {
  const subscription = await client.listen(filter);
  const results = [];
  for (const one of inner) results.push(await outcome(one));
  await sleep(500);
  await subscription.close();
  return { honoured: subscription.honoredFilter, results, closed: await subscription.closed };
}

async function task(params) {
  if (kind !== 'legacy') return 'not with this client';
  const messages = [];
  for await (const message of client.experimental.tasks.callToolStream(params, undefined, { task: { ttl: 60_000 } })) messages.push(message);
  const states = messages.map(({ type, task: state, result, error }) => ({ type, status: state?.status, result, error: error?.message }));
  return states.filter((state, at) => JSON.stringify(state) !== JSON.stringify(states[at - 1])); // how often it was polled is chance
}

async function outcome({ op, params, ...more }) {
  try {
    return { result: (await does[op](params, more)) ?? null };
  } catch (error) {
    return { error: { name: error.name, code: error.code, message: error.message, data: error.data } };
  }
}

/** Long strings by their length and digest, so that a transcript can be read. */
function short(_key, value) {
  if (typeof value !== 'string' || value.length < 5_000) return value;
  return `${value.length} characters, ${createHash('sha256').update(value).digest('hex')}`;
}

const distinct = (list) => [...new Set(list.map((one) => JSON.stringify(one)))].sort();

const transcript = [{ era, server: client.getServerVersion(), capabilities: client.getServerCapabilities(), instructions: client.getInstructions() ?? null }];
for (const one of steps) {
  if (one.era !== undefined && one.era !== era) continue;
  asked = [];
  transcript.push({ op: one.op, ...(one.params && { params: one.params }), ...(await outcome(one)), ...(asked.length > 0 && { asked: distinct(asked) }) });
}
// They come on streams of their own, and again where a client resumes one: neither order nor number means anything.
transcript.push({ notified: distinct(notified), rootsAsked: distinct(rootsAsked) });
if (target.url && transport.terminateSession) await transport.terminateSession().catch((error) => transcript.push({ terminated: error.message }));
await client.close();
console.log(JSON.stringify(transcript, short, 1));
process.exit(0);
