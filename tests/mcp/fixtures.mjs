// What the conformance suites and the client drivers ask a server for: tools, prompts and resources under the names and with
// the contents that the suites document, for both eras of the protocol from one definition.
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  McpServer, ProtocolError, ProtocolErrorCode, ResourceTemplate, acceptedContent, completable, createRequestStateCodec,
  fromJsonSchema, inputRequired,
} from '@modelcontextprotocol/server';
import { z } from 'zod';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQAAAAA=';
const HINT = { ttlMs: 60_000, cacheScope: 'private' };
const CACHED = ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list', 'resources/read', 'server/discover'];
const STEP = 50; // milliseconds between two notifications of one call

const text = (...parts) => ({ content: parts.map((part) => ({ type: 'text', text: part })) });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const embedded = (uri, mimeType, content) => ({ type: 'resource', resource: { uri, mimeType, text: content } });
const user = (content) => ({ role: 'user', content });
const object = (properties, required = Object.keys(properties)) => ({ type: 'object', properties, required });
const string = { type: 'string' };
const ask = (message, properties, required) => inputRequired.elicit({ message, requestedSchema: object(properties, required) });
const say = (prompt, maxTokens) =>
  inputRequired.createMessage({ messages: [user({ type: 'text', text: prompt })], maxTokens });

// One key for the process: a state that was minted for one request is read in the next, by another instance.
const states = createRequestStateCodec({ key: randomBytes(32), ttlSeconds: 600 });
const mint = (payload) => states.mint({ ...payload, nonce: randomUUID() });

/** A server for one session, one request or one process; `changed` tells open subscriptions about a change. */
export function fixtures(era, changed) {
  const server = new McpServer(
    { name: 'fixtures', version: '1.0.0' },
    {
      instructions: 'Fixtures for tests.',
      capabilities: { logging: {}, completions: {}, resources: { subscribe: true } },
      cacheHints: Object.fromEntries(CACHED.map((method) => [method, HINT])),
      requestState: { verify: states.verify },
    },
  );
  const tool = (name, description, run, inputSchema = z.object({})) => server.registerTool(name, { description, inputSchema }, run);
  contents(tool);
  notifying(tool);
  asking(tool);
  resuming(tool, changed);
  resources(server, era);
  prompts(server);
  return server;
}

function contents(tool) {
  // The first of the list: the header scenarios call it without arguments.
  tool('test_simple_text', 'Answers with one text.', async () => text('This is a simple text response for testing.'));
  tool('test_image_content', 'Answers with an image.', async () => ({ content: [image] }));
  tool('test_audio_content', 'Answers with a sound.', async () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }));
  tool('test_embedded_resource', 'Answers with a resource inside.', async () => ({
    content: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
  }));
  tool('test_multiple_content_types', 'Answers with a text, an image and a resource.', async () => ({
    content: [
      { type: 'text', text: 'Multiple content types test:' },
      image,
      embedded('test://mixed-content-resource', 'application/json', JSON.stringify({ test: 'data', value: 123 })),
    ],
  }));
  tool('test_error_handling', 'Fails always.', async () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  tool(
    'json_schema_2020_12_tool', 'Has an input schema that uses JSON Schema 2020-12.',
    async (args) => text(JSON.stringify(args)),
    fromJsonSchema({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: string, city: string } } },
      properties: {
        name: string, address: { $ref: '#/$defs/address' }, contactMethod: { ...string, enum: ['phone', 'email'] },
        phone: string, email: string,
      },
      allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
      if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
      then: { required: ['phone'] },
      else: { required: ['email'] },
      additionalProperties: false,
    }),
  );
  tool(
    'test_parameter_headers', 'Has parameters that are repeated in headers.',
    async ({ region, shard }) => text(`region ${region ?? 'none'}, shard ${shard ?? 'none'}`),
    fromJsonSchema({
      type: 'object',
      properties: { region: { ...string, 'x-mcp-header': 'Region' }, shard: { type: 'integer', 'x-mcp-header': 'Shard' } },
    }),
  );
  tool('echo', 'Answers with its arguments as they came.', async (args) => text(JSON.stringify(args)), fromJsonSchema({ type: 'object' }));
  tool(
    'large', 'Answers with a text of so many bytes.', async ({ bytes }) => text('x'.repeat(bytes)),
    z.object({ bytes: z.number().int() }),
  );
}

function notifying(tool) {
  const log = async (_args, ctx) => {
    for (const message of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await ctx.mcpReq.log('info', message);
      await sleep(STEP);
    }
    return text('Tool with logging executed successfully');
  };
  tool('test_tool_with_logging', 'Sends three log messages.', log);
  tool('test_logging_tool', 'Sends three log messages to those who asked for them.', log);
  tool('test_tool_with_progress', 'Sends its progress three times.', async (_args, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      }
      await sleep(STEP);
    }
    return text('Tool with progress executed successfully');
  });
  tool('test_streaming_elicitation', 'Sends progress and then its answer.', async (_args, ctx) => {
    const params = { progressToken: ctx.mcpReq._meta?.progressToken ?? 'none', progress: 1, total: 2 };
    await ctx.mcpReq.notify({ method: 'notifications/progress', params });
    return text('Stream complete');
  });
  tool(
    'wait', 'Takes its time, and says on standard error when it is cancelled.',
    async ({ milliseconds }, ctx) => {
      try {
        await sleep(milliseconds, undefined, { signal: ctx.mcpReq.signal });
      } catch {
        console.error('wait: cancelled');
      }
      return text(`waited ${milliseconds}`);
    },
    z.object({ milliseconds: z.number().int() }),
  );
  // Only a stream that can be resumed can be closed by the server: what follows waits for the client to come back.
  tool('test_reconnection', 'Closes its stream before it answers.', async (_args, ctx) => {
    await sleep(STEP);
    ctx.http?.closeSSE?.();
    await sleep(2 * STEP);
    return text('Answered after the stream was closed');
  });
}

/** What asks the client: `input_required` in the one era, requests to the client in the other. */
function asking(tool) {
  const answers = (ctx) => ctx.mcpReq.inputResponses ?? {};
  const first = (name, description, key, request, done, inputSchema) =>
    tool(name, description, async (args, ctx) => {
      const answer = answers(ctx)[key];
      return answer === undefined ? inputRequired({ inputRequests: { [key]: request(args) } }) : done(answer);
    }, inputSchema);
  const outcome = ({ action, content }) => text(`Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`);
  const sampled = ({ content }) => [content].flat().map((part) => part.text ?? '').join('');

  first('test_sampling', 'Asks the client for a completion.', 'sample', ({ prompt }) => say(prompt, 100),
    (answer) => text(`LLM response: ${sampled(answer)}`), z.object({ prompt: z.string() }));
  first('test_missing_capability', 'Asks the client for a completion.', 'sample', () => say('Anything', 10), () => text('done'));
  first('test_elicitation', 'Asks the user for a name and an address.', 'user',
    ({ message }) => ask(message, { username: { ...string, description: "User's response" }, email: { ...string, description: "User's email address" } }),
    ({ action, content }) => text(`User response: action=${action}, content=${JSON.stringify(content ?? {})}`),
    z.object({ message: z.string() }));
  first('test_elicitation_sep1034_defaults', 'Asks with default values.', 'form', () => ask('Please review', {
    name: { ...string, default: 'John Doe' }, age: { type: 'integer', default: 30 }, score: { type: 'number', default: 95.5 },
    status: { ...string, enum: ['active', 'inactive', 'pending'], default: 'active' }, verified: { type: 'boolean', default: true },
  }, []), outcome);
  const titled = (word, noun) => ['First', 'Second', 'Third'].map((ordinal, at) => ({ const: `${word}${at + 1}`, title: `${ordinal} ${noun}` }));
  first('test_elicitation_sep1330_enums', 'Asks for choices in five notations.', 'form', () => ask('Please choose', {
    untitledSingle: { ...string, enum: ['option1', 'option2', 'option3'] },
    titledSingle: { ...string, oneOf: titled('value', 'Option') },
    legacyEnum: { ...string, enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
    untitledMulti: { type: 'array', items: { ...string, enum: ['option1', 'option2', 'option3'] } },
    titledMulti: { type: 'array', items: { anyOf: titled('value', 'Choice') } },
  }, []), outcome);

  tool('test_input_required_result_elicitation', 'Asks for a name.', async (_args, ctx) => {
    const { name } = acceptedContent(answers(ctx), 'user_name', z.object({ name: z.string() })) ?? {};
    return name === undefined ? inputRequired({ inputRequests: { user_name: ask('What is your name?', { name: string }) } }) : text(`Hello, ${name}!`);
  });
  first('test_input_required_result_sampling', 'Asks a model.', 'capital_question', () => say('What is the capital of France?', 100),
    (answer) => text(sampled(answer)));
  first('test_input_required_result_list_roots', 'Asks for the roots.', 'client_roots', () => inputRequired.listRoots(),
    ({ roots }) => text(`Roots: ${roots.map((root) => root.uri).join(', ')}`));
  tool('test_input_required_result_multiple_inputs', 'Asks three things at once.', async (_args, ctx) => {
    const requests = { user_name: ask('What is your name?', { name: string }), greeting: say('Generate a greeting', 50), client_roots: inputRequired.listRoots() };
    const open = Object.keys(requests).some((key) => answers(ctx)[key] === undefined);
    return open ? inputRequired({ inputRequests: requests, requestState: await mint({ step: 'asked' }) }) : text('All answers are here');
  });
  tool('test_input_required_result_capabilities', 'Asks what the client can answer.', async (_args, ctx) => {
    if (Object.keys(answers(ctx)).length > 0) return text(`Answered: ${Object.keys(answers(ctx)).sort().join(', ')}`);
    const can = ctx.mcpReq._meta?.['io.modelcontextprotocol/clientCapabilities'] ?? ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? {};
    const inputRequests = {
      ...(can.elicitation && { user_name: ask('What is your name?', { name: string }) }),
      ...(can.sampling && { greeting: say('Generate a greeting', 50) }),
    };
    return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : text('Nothing can be asked');
  });
}

/** What carries a state from one round to the next, and what tells subscribers of a change. */
function resuming(tool, changed) {
  const confirm = (requestState) => inputRequired({ inputRequests: { confirm: ask('Please confirm', { ok: { type: 'boolean' } }) }, requestState });
  const stateful = (name, description, word) =>
    tool(name, description, async (_args, ctx) => {
      if (acceptedContent(ctx.mcpReq.inputResponses, 'confirm') === undefined) return confirm(await mint({ name }));
      if (ctx.mcpReq.requestState()?.name !== name) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'no state of this tool');
      return text(word);
    });
  stateful('test_input_required_result_request_state', 'Wants its state back.', 'state-ok');
  stateful('test_input_required_result_tampered_state', 'Wants its state back as it was.', 'integrity-ok');
  tool('test_input_required_result_multi_round', 'Asks two things, one after the other.', async (_args, ctx) => {
    const state = ctx.mcpReq.requestState();
    const name = acceptedContent(ctx.mcpReq.inputResponses, 'step1')?.name ?? state?.name;
    const color = acceptedContent(ctx.mcpReq.inputResponses, 'step2')?.color;
    if (state === undefined || name === undefined) {
      return inputRequired({ inputRequests: { step1: ask('Step 1: What is your name?', { name: string }) }, requestState: await mint({ round: 1 }) });
    }
    if (state.round === 1 || color === undefined) {
      return inputRequired({ inputRequests: { step2: ask('Step 2: What is your favorite color?', { color: string }) }, requestState: await mint({ round: 2, name }) });
    }
    return text(`${name} likes ${color}`);
  });
  for (const list of ['tool', 'prompt']) {
    tool(`test_trigger_${list}_change`, `Says that the list of ${list}s changed.`, async () => {
      changed(list);
      return text('told');
    });
  }
  tool('update', 'Says that a resource changed.', async ({ uri }) => {
    changed('resource', uri);
    return text('told');
  }, z.object({ uri: z.string() }));
}

function resources(server, era) {
  const resource = (name, uri, mimeType, body) =>
    server.registerResource(name, uri, { description: `The ${name}.`, mimeType }, async () => ({ contents: [{ uri, mimeType, ...body }] }));
  resource('static text', 'test://static-text', 'text/plain', { text: 'This is the content of the static text resource.' });
  resource('static binary', 'test://static-binary', 'image/png', { blob: PNG });
  resource('watched resource', 'test://watched-resource', 'text/plain', { text: 'Watched resource content' });
  server.registerResource(
    'template', new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { description: 'Data by number.', mimeType: 'application/json' },
    async (uri, { id }) => ({
      contents: [{ uri: uri.href, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }],
    }),
  );
  if (era === 'legacy') {
    server.server.setRequestHandler('resources/subscribe', async () => ({}));
    server.server.setRequestHandler('resources/unsubscribe', async () => ({}));
  }
}

function prompts(server) {
  const prompt = (name, argsSchema, run) => server.registerPrompt(name, { description: `The prompt ${name}.`, ...(argsSchema && { argsSchema }) }, run);
  const begins = (...words) => (value) => words.filter((word) => word.startsWith(value));
  prompt('test_simple_prompt', undefined, async () => ({ messages: [user({ type: 'text', text: 'This is a simple prompt for testing.' })] }));
  prompt(
    'test_prompt_with_arguments',
    z.object({ arg1: completable(z.string(), begins('paris', 'park', 'party')), arg2: completable(z.string(), begins('world')) }),
    async ({ arg1, arg2 }) => ({ messages: [user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` })] }),
  );
  prompt('test_prompt_with_embedded_resource', z.object({ resourceUri: z.string() }), async ({ resourceUri }) => ({
    messages: [
      user(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
      user({ type: 'text', text: 'Please process the embedded resource above.' }),
    ],
  }));
  prompt('test_prompt_with_image', undefined, async () => ({
    messages: [user(image), user({ type: 'text', text: 'Please analyze the image above.' })],
  }));
  prompt('test_input_required_result_prompt', undefined, async (ctx) => {
    const context = acceptedContent(ctx.mcpReq.inputResponses, 'user_context')?.context;
    if (context === undefined) return inputRequired({ inputRequests: { user_context: ask('What context should the prompt use?', { context: string }) } });
    return { messages: [user({ type: 'text', text: `Context: ${context}` })] };
  });
}
