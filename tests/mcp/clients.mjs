// Real clients of both eras with real servers, once directly and once through Deed: each has to come to the same answers.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as plans from './plans.mjs';
import { http, run, stdio } from './processes.mjs';

const AT_ONCE = 3;
const node = (kind) => [process.execPath, 'client.mjs', kind];
const python = (mode) => ['python', '-W', 'ignore', 'client.py', mode];
const CLIENTS = {
  'sdk 1': node('legacy'), 'client 2': node('modern'), 'client 2 of 2026 only': node('pinned'),
  python: python('auto'), 'python as of 2025': python('legacy'),
};
const ALL = Object.keys(CLIENTS);
const CASES = [
  { server: 'filesystem', over: 'stdio', clients: ['sdk 1', 'client 2', 'python'] },
  { server: 'memory', over: 'stdio', clients: ['sdk 1', 'client 2', 'python'] },
  { server: 'everything', over: 'stdio', clients: ['sdk 1', 'client 2', 'python'] },
  { server: 'everything', over: 'http', clients: ['sdk 1', 'client 2', 'python'] },
  { server: 'fixtures', over: 'stdio', clients: ALL },
  { server: 'fixtures', over: 'http', clients: ALL },
  // Deed starts them, and its clients speak HTTP; directly, the clients start them.
  { server: 'filesystem', over: 'a command of Deed', clients: ['sdk 1', 'client 2', 'python'] },
  { server: 'memory', over: 'a command of Deed', clients: ['sdk 1', 'client 2', 'python'] },
  { server: 'everything', over: 'a command of Deed', clients: ['sdk 1', 'client 2', 'python'] },
  { server: 'fixtures', over: 'a command of Deed', clients: ALL },
].flatMap(({ clients, ...one }) => clients.map((client) => ({ ...one, client })));

const title = ({ client, server, over }) => `${client} with ${server} over ${over}`;

/** Servers that Deed has to stand in front of: one for each case, for what one client does another would hear of. */
export async function serversBehind() {
  const named = CASES.map((one, at) => [`case${at}`, one]).filter(([, one]) => one.over !== 'stdio');
  const behind = (one) => one.over === 'http' ? http[one.server]() : commandOf(one);
  return new Map(await Promise.all(named.map(async ([name, one]) => [name, await behind(one)])));
}

async function commandOf(one) {
  const folder = await mkdtemp(join(tmpdir(), 'client-'));
  return { at: { command: stdio[one.server](folder), memory: join(folder, 'memory.jsonl') }, folder };
}

/** The answers that a client got, and how often a server said that it was cancelled. */
async function transcript(one, { url, wrap, data, folder: given }) {
  const folder = given ?? await mkdtemp(join(tmpdir(), 'client-'));
  try {
    const [command, ...args] = wrap(stdio[one.server]?.(folder) ?? []);
    const env = { MEMORY_FILE_PATH: join(folder, 'memory.jsonl'), DEED_DATA: data };
    const target = url ? { url } : { command, args, env };
    const input = JSON.stringify(plans[one.server]).replaceAll('DIR', folder);
    const [program, ...words] = CLIENTS[one.client];
    const { code, stdout, stderr } = await run(program, [...words, JSON.stringify(target)], { input });
    if (code !== 0) return [{ failed: code, stderr: stderr.slice(-2_000) }];
    const steps = JSON.parse(normal(stdout, folder));
    return url ? steps : [...steps, { cancelled: stderr.split('\n').filter((line) => line === 'wait: cancelled').length }];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Without what is made up anew each time: the folder, ids, ports and times. */
function normal(text, folder) {
  return text
    .replaceAll(folder, 'DIR')
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID')
    .replace(/("taskId\\?":\s*\\?")[0-9a-f]{32}/g, '$1ID')
    .replace(/127\.0\.0\.1:\d+/g, 'ADDRESS')
    .replace(/(\\?"PORT\\?": \\?")\d+/g, '$1PORT')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, 'TIME')
    .replace(/\d{1,2}:\d\d:\d\d [AP]M/g, 'TIME')
    .replace(/\w{3} \w{3} \d\d \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4} \([^)]*\)/g, 'TIME')
    .replace(/(listen[-:])\d+/g, '$1N');
}

async function both(one, at, deed, behind) {
  const server = one.over === 'http' ? await http[one.server]() : undefined;
  const name = `case${at}`;
  const wrap = (command) => [deed.program, 'mcp', '--server', name, '--', ...command];
  const direct = await transcript(one, { url: server?.at, wrap: (command) => command, data: deed.data });
  const started = one.over === 'a command of Deed' ? behind.get(name) : undefined;
  const url = (server ?? started) && deed.url(name);
  const through = await transcript(one, { url, wrap, data: deed.data, folder: started?.folder });
  if (server) {
    for (const [steps, at_] of [[direct, server], [through, behind.get(name)]]) {
      steps.push({ cancelled: at_.errors().split('\n').filter((line) => line === 'wait: cancelled').length });
      await at_.stop();
    }
  }
  if (started) {
    // What it writes for people stands in Deed's log.
    const said = deed.errors().split('\n').filter((line) => line.includes(`"${name}"`) && line.includes('"wait: cancelled"'));
    through.push({ cancelled: said.length });
  }
  return { direct, through };
}

/** How many calls of tools a plan makes in an era; a call that asks for something is made again with the answer in the newer. */
function calls(steps, era) {
  const mine = steps.filter((step) => step.era === undefined || step.era === era);
  return mine.reduce((total, step) => total + (step.op === 'tools/call' ? 1 : calls(step.steps ?? [], era)), 0);
}

function made({ server }, name, [{ era }]) {
  const cancelled = plans[server].filter((step) => step.cancel !== undefined).length;
  return { name, calls: calls(plans[server], era), exact: era === 'legacy', cancelled };
}

/** Runs every case; prints a line for each and what differs: how many cases differ, and what each made. */
export async function clients(deed, behind, print, only = '') {
  let differing = 0;
  const all = [];
  const waiting = CASES.map((one, at) => ({ one, at })).filter(({ one }) => title(one).includes(only));
  print('\nclients and servers');
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { direct, through } = await both(next.one, next.at, deed, behind);
      all.push(made(next.one, `case${next.at}`, direct));
      const found = direct.length === through.length ? [] : [['number of steps', direct.length, through.length]];
      for (const [at, step] of direct.entries()) {
        const [a, b] = [JSON.stringify(step), JSON.stringify(through[at])];
        // Deed gives what it starts another environment than clients do.
        const environment = next.one.over === 'a command of Deed' && step.params?.name === 'get-env';
        if (a !== b && !environment) found.push([step.op ?? 'the connection', a, b]);
      }
      const failed = direct.some((step) => step.failed !== undefined);
      if (found.length > 0 || failed) differing += 1;
      print(`  ${failed ? 'FAILED   ' : found.length === 0 ? 'same     ' : 'DIFFERENT'} ${title(next.one)}: ${direct.length} steps`);
      if (failed) print(`      ${JSON.stringify(direct)}`);
      for (const [what, a, b] of found) print(`      ${what}\n        directly     ${a}\n        through Deed ${b}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { differing, made: all };
}
