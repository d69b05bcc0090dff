// A tool server made with the official SDK: upstream.mjs
import { createServer } from 'node:http';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { z } from 'zod';

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'bench', version: '1.0.0' });
  const inputSchema = z.object({ path: z.string(), amount: z.number() });
  server.registerTool('echo', { description: 'Answers.', inputSchema }, async () => ({ content: [{ type: 'text', text: 'pong' }] }));
  return server;
});
const handle = toNodeHandler(handler);
const http = createServer((request, response) => void handle(request, response));
http.listen(0, '127.0.0.1', () => console.log(`http 127.0.0.1:${http.address().port}`));
