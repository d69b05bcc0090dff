// Starts what the tests stand on: a server, Deed before it, and short commands. Everything started here ends with the tests.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const running = new Set();
// Nothing else of this environment reaches a server: some servers show it to whoever asks.
const env = Object.fromEntries(['PATH', 'HOME', 'LANG', 'TMPDIR'].filter((name) => process.env[name]).map((name) => [name, process.env[name]]));
const STARTED = 20_000; // milliseconds until a program must have said where it listens

/** Starts a program and waits for the first line of its output that `address` finds something in. */
export async function start(command, args, address, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...env, ...options.env } });
  running.add(child);
  child.once('exit', () => running.delete(child));
  let said = '';
  child.stdout.resume();
  child.stderr.on('data', (data) => { said = (said + data).slice(-20_000); });
  const found = new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${command} ${args.join(' ')}: ${why}\n${said}`));
    const timer = setTimeout(() => fail('did not say where it listens'), STARTED);
    createInterface({ input: child[options.said ?? 'stdout'] }).on('line', (line) => {
      const match = address.exec(line);
      if (match) { clearTimeout(timer); resolve(match[1]); }
    });
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => { clearTimeout(timer); fail(`ended with ${code}`); });
  });
  return { at: await found, errors: () => said, stop: () => stop(child) };
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(timer);
}

/** Stops what is still running, for the end of the tests. */
export async function stopAll() {
  await Promise.all([...running].map(stop));
}

/** Runs a command to its end, with `input` on its standard input. */
export async function run(command, args, { input = '', milliseconds = 120_000 } = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env, timeout: milliseconds });
  running.add(child);
  child.once('exit', () => running.delete(child));
  child.stdin.on('error', () => {}); // it may end without reading
  child.stdin.end(input);
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8');
    child[stream].on('data', (data) => { output[stream] += data; });
  }
  const [code, signal] = await once(child, 'close');
  return { code: code ?? signal, ...output };
}

/** The servers that can be started, by name: with a command on standard input and output, or at an address. */
const packaged = (name) => join('node_modules', '@modelcontextprotocol', `server-${name}`, 'dist', 'index.js');
export const stdio = {
  filesystem: (folder) => [process.execPath, packaged('filesystem'), folder],
  memory: () => [process.execPath, packaged('memory')],
  everything: () => [process.execPath, packaged('everything'), 'stdio'],
  fixtures: () => [process.execPath, 'server.mjs', 'stdio'],
};
export const http = {
  fixtures: () => start(process.execPath, ['server.mjs'], /^(http:.*)$/),
  everything: async () => {
    const port = await freePort();
    const server = await start(process.execPath, [packaged('everything'), 'streamableHttp'], /(listening)/, { env: { PORT: String(port) }, said: 'stderr' });
    return { ...server, at: `http://127.0.0.1:${port}/mcp` };
  },
};

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A new store with Deed in front of the named servers, each a URL or a command; `url` gives the address of one of them through the gateway. */
export async function gateway(deed, servers) {
  const data = await mkdtemp(join(tmpdir(), 'deed-mcp-'));
  const behind = (at) => typeof at === 'string' ? `url = ${JSON.stringify(at)}`
    : `command = ${JSON.stringify(at.command)}\nfolder = ${JSON.stringify(process.cwd())}\nenv = { MEMORY_FILE_PATH = ${JSON.stringify(at.memory)} }`;
  const config = Object.entries(servers).map(([name, at]) => `[mcp.${name}]\n${behind(at)}\n`).join('\n');
  await writeFile(join(data, 'deed.toml'), config);
  const args = ['serve', '--data', data, '--listen', '127.0.0.1:0', '--otlp-grpc', 'off', '--otlp-http', 'off'];
  const serving = await start(deed, args, /^http ([\d.:]+)$/);
  return {
    program: deed,
    data,
    errors: serving.errors,
    url: (name) => `http://${serving.at}/mcp/${name}`,
    ask: (...words) => run(deed, [...words, '--data', data]),
    stop: serving.stop,
    remove: () => rm(data, { recursive: true, force: true }),
  };
}
