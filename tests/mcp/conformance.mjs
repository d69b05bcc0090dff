// Runs the official conformance suites against a server directly and through Deed, and holds the results against each other,
// scenario by scenario and check by check. What the server fails directly it has to fail in the same way through Deed.
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './processes.mjs';

const SUITES = [
  { name: '0.2 default', command: 'conformance-0.2', args: [] },
  { name: '0.2 requirements 2026-07-28', command: 'conformance-0.2', args: ['--requirements', '2026-07-28'] },
  { name: '0.2 requirements 2025-11-25', command: 'conformance-0.2', args: ['--requirements', '2025-11-25'] },
  { name: '0.1 all', command: 'conformance-0.1', args: ['--suite', 'all'] },
];

/** The checks of each scenario of one run of a suite, in the order in which they were made. */
async function results(suite, url) {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'));
  try {
    const program = join('node_modules', suite.command, 'dist', 'index.js');
    const ran = await run(process.execPath, [program, 'server', '--url', url, '-o', folder, ...suite.args]);
    const scenarios = new Map();
    for (const name of (await readdir(folder)).sort()) {
      const scenario = name.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '');
      scenarios.set(scenario, JSON.parse(await readFile(join(folder, name, 'checks.json'), 'utf8')));
    }
    if (scenarios.size === 0) throw new Error(`${suite.name}: nothing ran\n${ran.stdout}${ran.stderr}`);
    return scenarios;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

// What differs between two runs against one server: times, ids that are made up anew, and where the endpoint is.
const VOLATILE = [
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, 'TIME'],
  [/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/g, 'TIME'],
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID'],
  [/(localhost|127\.0\.0\.1):\d+(\/mcp(\/\w+)?)?/g, 'ENDPOINT'],
  [/\(id: [^)]*\)/g, '(id: OPAQUE)'],
];
// Named by the suites or the protocol as opaque: made up by the server, and given back as they came.
const OPAQUE = new Set([
  'requestState', 'eventId', 'lastEventId', 'lastEventIdUsed', 'last-event-id', 'subscriptionId', 'io.modelcontextprotocol/subscriptionId',
]);

// What Deed answers by itself has its own words: of a request from another site only the status is compared, of headers that
// are not what the body says and of unknown methods only the code.
const OWN_WORDS = new Set(['localhost-host-rebinding-rejected']);
const OWN_CODES = new Set([-32020, -32601]);
// How often something was polled is chance.
const IGNORED = new Set(['messagesValidated']);
// The headers of an answer that mean something to MCP.
const HEADERS = new Set(['content-type', 'mcp-session-id', 'mcp-protocol-version', 'www-authenticate', 'allow']);

function plain(value, key, parent) {
  if (OPAQUE.has(key) || (key === 'id' && typeof parent?.data === 'string')) return value === undefined || value === null ? value : 'OPAQUE';
  if (typeof value === 'string') return VOLATILE.reduce((text, [pattern, instead]) => text.replace(pattern, instead), value);
  if (Array.isArray(value)) return value.map((item) => plain(item));
  if (value === null || typeof value !== 'object') return value;
  if (OWN_CODES.has(value.code)) return { code: value.code };
  const isHeaders = key === 'headers' && parent?.statusCode !== undefined;
  const names = Object.keys(value).sort().filter((name) => (isHeaders ? HEADERS.has(name) : !IGNORED.has(name)));
  return Object.fromEntries(names.map((name) => [name, plain(value[name], name, value)]));
}

const verdict = (check) => `${check.status} ${check.id} ${check.name}`;
const full = ({ status, id, name, errorMessage, details }) => {
  const seen = OWN_WORDS.has(id) ? { ...details, body: undefined } : details;
  return JSON.stringify(plain({ status, id, name, errorMessage, details: seen }));
};

/** How two runs of one scenario differ: in a verdict, or in what was seen on the way to the same verdict. */
function differences(direct, through) {
  const found = [];
  for (let at = 0; at < Math.max(direct.length, through.length); at += 1) {
    const [a, b] = [direct[at], through[at]];
    if (a === undefined || b === undefined || verdict(a) !== verdict(b)) {
      found.push({ kind: 'verdict', direct: a && `${verdict(a)} ${a.errorMessage ?? ''}`, through: b && `${verdict(b)} ${b.errorMessage ?? ''}` });
    } else if (full(a) !== full(b)) {
      found.push({ kind: 'detail', direct: full(a), through: full(b) });
    }
  }
  return found;
}

const count = (checks, status) => checks.filter((check) => check.status === status).length;
const summary = (checks) => (checks ? `${count(checks, 'SUCCESS')} passed, ${count(checks, 'FAILURE')} failed` : 'did not run');

// The suites hold servers to times of their own, some of 200 ms. A machine that stands still for longer fails a scenario
// now with Deed and now without; what Deed itself makes different, it makes different each time.
const MOST_RUNS = 3;

/** Runs the suites; prints a line for each scenario and what differs; the number of scenarios that differ in every run. */
export async function conformance(direct, through, print, prefix = '') {
  let differing = 0;
  for (const suite of SUITES.filter(({ name }) => name.startsWith(prefix))) {
    let doubtful;
    for (let run = 1; run <= MOST_RUNS && doubtful?.size !== 0; run += 1) {
      if (run > 1) print(`\n  run ${run}, for what differed`);
      doubtful = await compare(suite, direct, through, print, doubtful);
    }
    differing += doubtful.size;
  }
  return differing;
}

/** The scenarios that differ in one run of a suite; of `only` these, where it is there. */
async function compare(suite, direct, through, print, only) {
  const expected = await results(suite, direct);
  const got = await results(suite, through);
  const differing = new Set();
  if (only === undefined) print(`\n${suite.name}: ${expected.size} scenarios`);
  for (const scenario of only ?? new Set([...expected.keys(), ...got.keys()])) {
    const [a, b] = [expected.get(scenario), got.get(scenario)];
    const found = differences(a ?? [], b ?? []);
    if (found.length > 0) differing.add(scenario);
    print(`  ${found.length === 0 ? 'same     ' : 'DIFFERENT'} ${scenario.padEnd(46)} ${summary(a)}${found.length === 0 ? '' : ` | through Deed: ${summary(b)}`}`);
    for (const { kind, direct: was, through: is } of found) print(`      ${kind}\n        directly     ${was ?? '-'}\n        through Deed ${is ?? '-'}`);
  }
  return differing;
}
