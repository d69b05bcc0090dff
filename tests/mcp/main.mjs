// Holds Deed's gateway to being transparent: whatever a client does has to end in the same way with and without Deed.
//   SERVER_URL   a server to run the conformance suites against, instead of the fixtures here
//   GATEWAY_URL  what to compare it with, instead of `deed serve` in front of it
//   DEED         the program, where no gateway is given
import { conformance, SUITES } from './conformance.mjs';
import { fixtureServer, gateway, stopAll } from './processes.mjs';
import { recorded } from './records.mjs';

const print = (line) => console.log(line);
const { SERVER_URL, GATEWAY_URL, DEED, SUITE } = process.env;
const server = SERVER_URL ?? (await fixtureServer()).at;
const deed = GATEWAY_URL === undefined ? await gateway(DEED, { fixtures: server }) : undefined;
let wrong = 0;
try {
  const suites = SUITES.filter((suite) => suite.name.startsWith(SUITE ?? ''));
  wrong += await conformance(server, GATEWAY_URL ?? deed.url('fixtures'), print, suites);
  if (deed) wrong += await recorded(deed, print);
} finally {
  await stopAll();
}
if (deed && wrong > 0) print(`\nwhat Deed said:\n${deed.errors()}\nits store is kept: ${deed.data}`);
else await deed?.remove();
print(wrong === 0 ? '\nno difference' : `\n${wrong} differences`);
process.exitCode = wrong === 0 ? 0 : 1;
