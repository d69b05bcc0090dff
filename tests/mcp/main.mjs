// Holds Deed's gateway to being transparent: whatever a client does has to end in the same way with and without Deed.
//   DEED         the program
//   SERVER_URL   a server to run the conformance suites against, instead of the fixtures here
//   GATEWAY_URL  what stands before it, instead of `deed serve`: then only the suites are run
//   ONLY         `conformance`, `clients` or `hostile`
//   SUITE        how the names of the suites to run begin
//   CASE         a part of the names of the clients' cases to run
import { clients, serversBehind } from './clients.mjs';
import { conformance } from './conformance.mjs';
import { hostile, lenientServer } from './hostile.mjs';
import { gateway, http, stopAll } from './processes.mjs';
import { recorded } from './records.mjs';

// What is wrong is printed once more at the end: whoever keeps the end of a long output alone still has it.
const wrongLines = [];
let isDetail = false;
const print = (line) => {
  console.log(line);
  isDetail = /^ {2}(DIFFERENT|FAILED|WRONG)/.test(line) || (isDetail && line.startsWith('      '));
  if (isDetail) wrongLines.push(line.slice(0, 2_000));
};
const { SERVER_URL, GATEWAY_URL, DEED, ONLY, SUITE, CASE } = process.env;

async function everything() {
  const server = SERVER_URL ?? (await http.fixtures()).at;
  if (GATEWAY_URL) return conformance(server, GATEWAY_URL, print, SUITE);
  const does = (what) => ONLY === undefined || ONLY === what;
  const behind = does('clients') ? await serversBehind() : new Map();
  const lenient = await lenientServer();
  const urls = Object.fromEntries([...behind].map(([name, { at }]) => [name, at]));
  const deed = await gateway(DEED, { fixtures: server, lenient: lenient.at, ...urls });
  let wrong = 0;
  const made = [];
  if (does('conformance')) wrong += await conformance(server, deed.url('fixtures'), print, SUITE);
  if (does('clients')) {
    const ran = await clients(deed, behind, print, CASE);
    wrong += ran.differing;
    made.push(...ran.made);
  }
  if (does('hostile')) wrong += await hostile(deed.url('fixtures'), deed.url('lenient'), lenient, print);
  lenient.stop();
  wrong += await recorded(deed, made, print);
  if (wrong > 0) print(`\nwhat Deed said:\n${deed.errors()}\nits store is kept: ${deed.data}`);
  else await deed.remove();
  return wrong;
}

let wrong;
try {
  wrong = await everything();
} finally {
  await stopAll();
}
if (wrongLines.length > 0) console.log(`\nwhat differed\n${wrongLines.join('\n')}`);
print(wrong === 0 ? '\nno difference' : `\n${wrong} differences`);
process.exitCode = wrong === 0 ? 0 : 1;
