// After everything went through Deed: is every call in its records, has each an outcome, and does the store verify?

/** The number of things that are wrong; `made` says how many calls of tools each server should have got, at least. */
export async function recorded(deed, made, print) {
  print('\nrecords');
  const wrong = [];
  const rows = await ask(deed, `SELECT tool_server AS server, outcome_status AS outcome, count(*) AS n FROM actions
    WHERE basis = 'enforced' AND operation = 'tools/call' GROUP BY 1, 2`);
  const sum = (keep) => rows.filter(keep).reduce((total, row) => total + row.n, 0);
  for (const { name, calls, exact, cancelled } of made) {
    const found = sum((row) => row.server === name);
    if (exact ? found !== calls : found < calls) wrong.push(`${name}: ${found} calls recorded, ${calls} made`);
    const ended = sum((row) => row.server === name && row.outcome === 'cancelled');
    if (cancelled !== undefined && ended !== cancelled) wrong.push(`${name}: ${ended} calls recorded as cancelled, ${cancelled} were`);
  }
  const open = async (which) => (await ask(deed, `SELECT count(*) AS n FROM actions
    WHERE basis = 'enforced' AND outcome_status IS NULL AND ${which}`))[0].n;
  // What a result asked for waits for the call that is made again, which some clients never make.
  const early = await open(`operation NOT IN ('elicitation/create', 'sampling/createMessage', 'roots/list')`);
  if (early > 0) wrong.push(`${early} actions have no outcome`);
  const newest = await deed.ask('find', '--json', '--limit', '1');
  if (newest.code !== 0 || JSON.parse(newest.stdout.split('\n')[0]).id === undefined) wrong.push(`deed find: ${newest.stderr}`);
  await deed.stop();
  const left = await open('true');
  if (left > 0) wrong.push(`${left} actions have no outcome once the server has ended`);
  const verified = await deed.ask('verify');
  if (verified.code !== 0 && !/ 0 violated, 0 unverified/.test(verified.stdout)) wrong.push(`deed verify: ${verified.stdout}${verified.stderr}`);
  print(`  ${sum(() => true)} calls of tools, ${left} of all actions without an outcome, verify ended with ${verified.code}`);
  for (const what of wrong) print(`  WRONG ${what}`);
  return wrong.length;
}

async function ask(deed, query) {
  const { code, stdout, stderr } = await deed.ask('sql', query, '--json');
  if (code !== 0) throw new Error(`deed sql ended with ${code}: ${stderr}`);
  return stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
}
