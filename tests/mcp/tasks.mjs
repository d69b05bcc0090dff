// The tasks extension of 2026, which the SDK's server does not have: a layer before it that answers for the tools that may
// become tasks and for the methods on tasks, and passes everything else on.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const EXTENSION = 'io.modelcontextprotocol/tasks';
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';
const TTL = 60_000;
const METHODS = new Set(['tasks/get', 'tasks/update', 'tasks/cancel']);
const TERMINAL = new Set(['completed', 'failed', 'cancelled']);
const tasks = new Map();

const text = (words, more) => ({ content: [{ type: 'text', text: words }], ...more });
const ask = (message, name) => ({
  method: 'elicitation/create',
  params: { message, requestedSchema: { type: 'object', properties: { [name]: { type: name === 'confirm' ? 'boolean' : 'string' } }, required: [name] } },
});
const number = (args, name, otherwise) => Number(args[name] ?? otherwise);

/** What each tool does as a task: it may wait for answers by `input`, and ends with a result or throws. */
const TOOLS = {
  greet: { description: 'Greets, at once.', properties: { name: { type: 'string' } }, run: ({ args }) => text(`Hello, ${args.name}!`) },
  slow_compute: {
    description: 'Takes its time.', properties: { seconds: { type: 'number' } }, task: 'optional',
    run: async ({ args, signal }) => {
      await sleep(number(args, 'seconds', 1) * 1000, undefined, { signal });
      return text(`computed for ${number(args, 'seconds', 1)} s`);
    },
  },
  failing_job: { description: 'Fails as tools fail.', task: 'required', run: async () => { await sleep(500); return text('it failed', { isError: true }); } },
  protocol_error_job: { description: 'Fails as servers fail.', task: 'optional', run: async () => { throw new Error('the job broke'); } },
  confirm_delete: {
    description: 'Asks before it deletes.', properties: { filename: { type: 'string' } }, task: 'optional',
    run: async ({ args, input }) => {
      const { confirm } = await input({ confirm: ask(`Delete ${args.filename}?`, 'confirm') });
      return text(confirm.action === 'accept' ? `deleted ${args.filename}` : 'kept');
    },
  },
  multi_input: {
    description: 'Asks two things at once.', task: 'optional',
    run: async ({ input }) => {
      const answers = await input({ first: ask('Your first name?', 'name'), second: ask('Your second name?', 'name') });
      return text(JSON.stringify(answers));
    },
  },
  test_tool_with_task: {
    description: 'Asks before it becomes a task.', task: 'required', first: { user_name: ask('What is your name?', 'name') },
    run: async ({ answers }) => { await sleep(50); return text(`Hello, ${answers.user_name.content.name}!`); },
  },
};

const listed = Object.entries(TOOLS).map(([name, { description, properties = {} }]) => ({
  name, description, inputSchema: { type: 'object', properties },
}));

function start(tool, args, answers) {
  const now = new Date().toISOString();
  const stop = new AbortController();
  const task = { taskId: randomUUID(), status: 'working', createdAt: now, lastUpdatedAt: now, ttlMs: TTL, pollIntervalMs: 100 };
  const entry = { task, stop, inputRequests: {}, answered: {} };
  tasks.set(task.taskId, entry);
  const settle = (status, more) => {
    if (!TERMINAL.has(task.status)) Object.assign(task, { status, lastUpdatedAt: new Date().toISOString(), ...more });
  };
  const input = (requests) => new Promise((resolve) => {
    Object.assign(entry, { inputRequests: Object.fromEntries(Object.entries(requests).map(([key, one]) => [`${key}-${randomUUID()}`, one])), resolve });
    settle('input_required');
  });
  entry.settle = settle;
  stop.signal.addEventListener('abort', () => settle('cancelled'));
  Promise.resolve().then(() => tool.run({ args, answers, input, signal: stop.signal }))
    .then((result) => settle('completed', { result: { resultType: 'complete', ...result } }))
    .catch((error) => settle('failed', { error: { code: -32603, message: error.message } }));
  return task;
}

function update({ task, settle, ...entry }, responses, all) {
  const known = Object.keys(responses).filter((key) => key in all.inputRequests);
  for (const key of known) {
    all.answered[key.replace(/-[0-9a-f-]{36}$/, '')] = responses[key];
    delete all.inputRequests[key];
  }
  if (known.length > 0 && Object.keys(all.inputRequests).length === 0 && task.status === 'input_required') {
    settle('working');
    entry.resolve(all.answered);
  }
}

class Refusal extends Error {
  constructor(status, code, message, data) {
    super(message);
    Object.assign(this, { status, code, data });
  }
}

function onTask(method, params) {
  const entry = tasks.get(params.taskId);
  if (!entry) throw new Refusal(400, -32602, 'no such task');
  if (method === 'tasks/cancel') entry.stop.abort();
  else if (method === 'tasks/update') update(entry, params.inputResponses ?? {}, entry);
  else {
    const waits = entry.task.status === 'input_required' && { inputRequests: entry.inputRequests };
    return { ...entry.task, ...waits };
  }
  return {};
}

async function call(name, params, can) {
  const tool = TOOLS[name];
  const args = params.arguments ?? {};
  if (!can && tool.task === 'required') {
    throw new Refusal(400, -32021, 'this tool needs tasks', { requiredCapabilities: { extensions: { [EXTENSION]: {} } } });
  }
  const answers = params.inputResponses ?? {};
  if (tool.first && Object.keys(tool.first).some((key) => answers[key] === undefined)) {
    return { resultType: 'input_required', inputRequests: tool.first, requestState: 'asked' };
  }
  if (can && tool.task) return { ...start(tool, args, answers), resultType: 'task' };
  return tool.run({ args, answers, signal: undefined, input: async () => { throw new Refusal(400, -32021, 'this needs tasks'); } });
}

function checkHeaders(headers, { method, params }) {
  const name = METHODS.has(method) ? params.taskId : params.name;
  for (const [header, value] of [['mcp-method', method], ['mcp-name', name]]) {
    if (headers.get(header) !== value) throw new Refusal(400, -32020, `${header} is not what the body says`);
  }
}

/** Answers what belongs to tasks, and adds them to what `next` says of the server. */
export async function withTasks(request, next) {
  const body = request.method === 'POST' ? await request.clone().json().catch(() => undefined) : undefined;
  const { id, method, params } = body ?? {};
  const meta = params?._meta?.[CAPABILITIES];
  const ours = METHODS.has(method) || (method === 'tools/call' && params?.name in TOOLS);
  if (meta === undefined || id === undefined || !ours) return extended(method, await next(request));
  try {
    checkHeaders(request.headers, body);
    const can = meta.extensions?.[EXTENSION] !== undefined;
    if (METHODS.has(method) && !can) {
      throw new Refusal(400, -32021, 'the client has no tasks', { requiredCapabilities: { extensions: { [EXTENSION]: {} } } });
    }
    const result = METHODS.has(method) ? onTask(method, params) : await call(params.name, params, can);
    return Response.json({ jsonrpc: '2.0', id, result: { resultType: 'complete', ...result } });
  } catch (error) {
    const { status = 200, code = -32603, message, data } = error;
    return Response.json({ jsonrpc: '2.0', id, error: { code, message, data } }, { status });
  }
}

async function extended(method, response) {
  const json = response.headers.get('content-type')?.startsWith('application/json');
  if (!json || (method !== 'server/discover' && method !== 'tools/list')) return response;
  const body = await response.json();
  if (method === 'server/discover' && body.result) body.result.capabilities.extensions = { [EXTENSION]: {} };
  if (method === 'tools/list' && body.result) body.result.tools.push(...listed);
  return Response.json(body, { status: response.status });
}
