// Serves the fixtures over Streamable HTTP, with sessions to clients of 2025 and without to those of 2026, or over standard
// input and output. Over HTTP it prints its address as the first line.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import {
  WebStandardStreamableHTTPServerTransport, createMcpHandler, hostHeaderValidationResponse, isInitializeRequest, isLegacyRequest,
  localhostAllowedHostnames, localhostAllowedOrigins, originValidationResponse,
} from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { fixtures } from './fixtures.mjs';
import { withTasks } from './tasks.mjs';

const LIMIT = 8 << 20;
const sessions = new Map();

/** Events of one session's streams, to be replayed to a client that comes back. */
class Events {
  #events = [];

  async storeEvent(stream, message) {
    this.#events.push({ stream, message });
    return String(this.#events.length);
  }

  async getStreamIdForEventId(id) {
    return this.#events[Number(id) - 1]?.stream;
  }

  async replayEventsAfter(id, { send }) {
    const stream = await this.getStreamIdForEventId(id);
    for (const [at, event] of this.#events.entries()) {
      const missed = at >= Number(id) && event.stream === stream && Object.keys(event.message).length > 0;
      if (missed) await send(String(at + 1), event.message);
    }
    return stream;
  }
}

const modern = createMcpHandler(() => fixtures('modern', (list, uri) => {
  const tell = { tool: modern.notify.toolsChanged, prompt: modern.notify.promptsChanged, resource: () => modern.notify.resourceUpdated(uri) };
  tell[list]();
}), { legacy: 'reject', maxRequestBodySize: LIMIT });

async function legacy(request) {
  const id = request.headers.get('mcp-session-id');
  const known = sessions.get(id);
  if (known) return known.handleRequest(request);
  if (id !== null) return refuse(404, -32001, 'Session not found');
  const body = await request.clone().json().catch(() => undefined);
  if (body !== undefined && !isInitializeRequest(body)) return refuse(400, -32000, 'Bad Request: no session');
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new Events(),
    retryInterval: 100,
    onsessioninitialized: (session) => void sessions.set(session, transport),
    onsessionclosed: (session) => void sessions.delete(session),
  });
  const server = fixtures('legacy', (list, uri) => tellSession(server, list, uri));
  await server.connect(transport);
  return transport.handleRequest(request);
}

function tellSession(server, list, uri) {
  if (list === 'tool') server.sendToolListChanged();
  else if (list === 'prompt') server.sendPromptListChanged();
  else server.server.sendResourceUpdated({ uri });
}

function refuse(status, code, message) {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id: null }, { status });
}

async function serve(request) {
  if (new URL(request.url).pathname !== '/mcp') return refuse(404, -32000, 'Not found');
  return hostHeaderValidationResponse(request, localhostAllowedHostnames())
    ?? originValidationResponse(request, localhostAllowedOrigins())
    ?? ((await isLegacyRequest(request, undefined, { maxRequestBodySize: LIMIT })) ? legacy(request) : withTasks(request, modern.fetch));
}

if (process.argv[2] === 'stdio') {
  serveStdio(({ era }) => {
    const server = fixtures(era, (list, uri) => tellSession(server, list, uri));
    return server;
  });
} else {
  const handle = toNodeHandler({ fetch: serve }, { maxRequestBodySize: LIMIT, onerror: (error) => console.error(error) });
  const http = createServer((request, response) => void handle(request, response));
  http.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
}
