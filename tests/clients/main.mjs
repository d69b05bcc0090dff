// See `run`.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as listen } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { CALLBACK, browse, serve, signIn } from './provider.mjs';

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/** An MCP server behind the gateway, and the headers that reached it. */
const reached = [];
const upstream = listen(async (request, response) => {
  reached.push(request.headers);
  const mcp = new McpServer({ name: 'tickets', version: '1' });
  mcp.registerTool('count', {}, async () => ({ content: [{ type: 'text', text: '7' }] }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  await mcp.connect(transport);
  await transport.handleRequest(request, response);
});
await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve));

const folder = mkdtempSync(join(process.cwd(), 'run-'));
const path = (name) => join(folder, name);
const provider = await serve(await freePort());
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
const tickets = `${url}/mcp/tickets`;

const agent = (id) => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(path(`${id}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(path(`store/trust/${id}.pub.pem`), publicKey.export({ type: 'spki', format: 'pem' }));
  return `[[agent]]\nid = "${id}"\nkey_file = "trust/${id}.pub.pem"\n`;
};
mkdirSync(path('store/trust'), { recursive: true });
writeFileSync(path('store/deed.toml'), `
[tokens]
issuer = "${url}"
targets = ["${tickets}"]
[mcp.tickets]
url = "http://127.0.0.1:${upstream.address().port}/mcp"
[[issuer]]
url = "${provider.issuer}"
audiences = ["${url}", "desktop"]
scopes = ["tickets:read", "tickets:write"]
${agent('coder')}${agent('reviewer')}`);

const server = spawn(process.env.DEED, ['serve', '--data', path('store'), '--listen', `127.0.0.1:${port}`, '--otlp-grpc', 'off', '--otlp-http', 'off'], { stdio: ['ignore', 'pipe', 'inherit'] });
await new Promise((resolve, reject) => {
  server.stdout.once('data', resolve);
  server.once('exit', (code) => reject(new Error(`deed serve ended with ${code}`)));
});

/** `deed token …`: its exit code and what it says. The provider answers meanwhile, from this process. */
const deed = async (...args) => {
  try {
    const { stdout } = await promisify(execFile)(process.env.DEED, ['token', ...args, '--data', path('store')]);
    return { code: 0, out: stdout };
  } catch (error) {
    return { code: error.code, out: error.stderr };
  }
};
const exchange = async (subject, id, ...more) => {
  writeFileSync(path('subject.jwt'), subject);
  const ran = await deed('exchange', '--subject-token', path('subject.jwt'), '--agent', `agent:${id}`, '--key', path(`${id}.pem`), ...more);
  return ran.code === 0 ? JSON.parse(ran.out) : ran;
};
const introspect = async (token) => (await fetch(`${url}/oauth/introspect`, { method: 'POST', body: new URLSearchParams({ token }) })).json();

async function aPersonsTokenIsExchangedHandedOnAndRevoked() {
  const ann = await signIn(provider.issuer, url);
  const first = await exchange(ann.access_token, 'coder', '--resource', tickets, '--scope', 'tickets:read', '--may-act', 'agent:reviewer');
  assert.equal(first.token_type, 'Bearer', first.out);
  const { payload } = await jwtVerify(first.access_token, createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`)), { issuer: url, audience: tickets, typ: 'at+jwt' });
  assert.equal(payload.sub, `oidc:${provider.issuer}/ann`);
  assert.equal(payload.act.sub, 'agent:coder');

  const handed = await exchange(first.access_token, 'reviewer');
  assert.equal(decodeJwt(handed.access_token).act.act.sub, 'agent:coder');
  const wider = await exchange(first.access_token, 'reviewer', '--scope', 'tickets:write');
  assert.equal(wider.code, 6);
  assert.match(wider.out, /invalid_scope/);
  const byIdToken = await exchange(ann.id_token, 'coder', '--id-token', '--resource', tickets);
  assert.equal(byIdToken.scope, 'tickets:read tickets:write', byIdToken.out);

  assert.equal((await introspect(handed.access_token)).active, true);
  writeFileSync(path('first.jwt'), first.access_token);
  assert.equal((await deed('revoke', path('first.jwt'))).code, 0);
  assert.deepEqual(await introspect(handed.access_token), { active: false });
}

async function anMcpClientSignsInByItself() {
  let information, tokens, verifier, start;
  const authProvider = {
    redirectUrl: CALLBACK,
    clientMetadata: { client_name: 'agent', redirect_uris: [CALLBACK], grant_types: ['authorization_code'], response_types: ['code'], token_endpoint_auth_method: 'none', application_type: 'native', scope: 'openid tickets:read' },
    clientInformation: () => information,
    saveClientInformation: (given) => { information = given; },
    tokens: () => tokens,
    saveTokens: (given) => { tokens = given; },
    redirectToAuthorization: (to) => { start = to.href; },
    saveCodeVerifier: (given) => { verifier = given; },
    codeVerifier: () => verifier,
  };
  const client = () => new Client({ name: 'agent', version: '1' });
  const transport = () => new StreamableHTTPClientTransport(new URL(tickets), { authProvider });
  const first = transport();
  await assert.rejects(client().connect(first), UnauthorizedError);
  const back = await browse(start);
  assert.equal(back.searchParams.get('iss'), provider.issuer, 'RFC 9207');
  await first.finishAuth(back.searchParams.get('code'));
  assert.equal(decodeJwt(tokens.access_token).aud, tickets, 'RFC 8707');

  const known = client();
  await known.connect(transport());
  assert.equal((await known.callTool({ name: 'count' })).content[0].text, '7');
  await known.close();
  // What is for the MCP server is for nobody else, and nobody passed it on.
  const elsewhere = await exchange(tokens.access_token, 'coder', '--resource', tickets);
  assert.match(elsewhere.out, /names somebody else/);
  assert.ok(reached.length > 0 && reached.every((headers) => !JSON.stringify(headers).includes(tokens.access_token)));
}

async function anAgentCallsWithATokenThatWasHandedToIt() {
  const ann = await signIn(provider.issuer, url);
  const first = await exchange(ann.access_token, 'coder', '--resource', tickets, '--may-act', 'agent:reviewer');
  const handed = await exchange(first.access_token, 'reviewer');
  const call = async (token) => {
    const client = new Client({ name: 'reviewer', version: '1' });
    await client.connect(new StreamableHTTPClientTransport(new URL(tickets), { requestInit: { headers: { authorization: `Bearer ${token}` } } }));
    const result = await client.callTool({ name: 'count' });
    await client.close();
    return result.content[0].text;
  };
  assert.equal(await call(handed.access_token), '7');
  // A token for Deed itself opens no MCP server; one that was revoked opens nothing, and neither does what came of it.
  await assert.rejects(call(ann.access_token), /names somebody else|401/);
  writeFileSync(path('first.jwt'), first.access_token);
  assert.equal((await deed('revoke', path('first.jwt'))).code, 0);
  await assert.rejects(call(handed.access_token), /revoked|401/);
}

try {
  for (const test of [aPersonsTokenIsExchangedHandedOnAndRevoked, anMcpClientSignsInByItself, anAgentCallsWithATokenThatWasHandedToIt]) {
    await test();
    console.log(`ok  ${test.name}`);
  }
  await promisify(execFile)(process.env.DEED, ['verify', path('store')]);
  console.log('ok  the store verifies');
} finally {
  const ended = new Promise((resolve) => { server.once('exit', resolve); });
  server.kill('SIGTERM');
  await ended;
  provider.close();
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exit();
