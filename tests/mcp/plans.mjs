// What the clients do with each server: one list of steps, which every client that can do a step does.
const call = (name, args = {}, more = {}) => ({ op: 'tools/call', params: { name, arguments: args }, ...more });
const step = (op, params, more = {}) => ({ op, ...(params && { params }), ...more });
const read = (uri) => step('resources/read', { uri });
const prompt = (name, args) => step('prompts/get', { name, ...(args && { arguments: args }) });
const legacy = { era: 'legacy' };
const modern = { era: 'modern' };
const lists = ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list'].map((op) => step(op));
const settle = (milliseconds) => step('settle', { milliseconds });

/** DIR stands for a folder that is made for one run. */
export const filesystem = [
  step('tools/list'),
  call('list_allowed_directories'),
  call('write_file', { path: 'DIR/a.txt', content: 'first line\nsecond line\nžluť €\u{1f980}\n' }),
  call('read_text_file', { path: 'DIR/a.txt' }),
  call('read_text_file', { path: 'DIR/a.txt', head: 1 }),
  call('create_directory', { path: 'DIR/sub' }),
  call('edit_file', { path: 'DIR/a.txt', edits: [{ oldText: 'second', newText: '2nd' }], dryRun: true }),
  call('edit_file', { path: 'DIR/a.txt', edits: [{ oldText: 'second', newText: '2nd' }] }),
  call('move_file', { source: 'DIR/a.txt', destination: 'DIR/sub/b.txt' }),
  call('read_multiple_files', { paths: ['DIR/sub/b.txt', 'DIR/none.txt'] }),
  call('read_media_file', { path: 'DIR/sub/b.txt' }),
  call('list_directory', { path: 'DIR' }),
  call('list_directory_with_sizes', { path: 'DIR/sub' }),
  call('directory_tree', { path: 'DIR' }),
  call('search_files', { path: 'DIR', pattern: '**/*.txt' }),
  call('get_file_info', { path: 'DIR/sub/b.txt' }),
  call('read_text_file', { path: '/etc/passwd' }),
  call('write_file', { path: 'DIR/a.txt' }),
  call('no_such_tool'),
  step('parallel', undefined, { steps: Array.from({ length: 20 }, () => call('read_text_file', { path: 'DIR/sub/b.txt' })) }),
];

const people = ['Ann', 'Bob'].map((name) => ({ name, entityType: 'person', observations: [`${name} exists`] }));
const knows = { from: 'Ann', to: 'Bob', relationType: 'knows' };
export const memory = [
  step('tools/list'),
  call('create_entities', { entities: people }),
  call('create_relations', { relations: [knows] }),
  call('add_observations', { observations: [{ entityName: 'Ann', contents: ['is a DBA'] }] }),
  call('add_observations', { observations: [{ entityName: 'Nobody', contents: ['x'] }] }),
  call('search_nodes', { query: 'dba' }),
  call('open_nodes', { names: ['Bob', 'Nobody'] }),
  call('read_graph'),
  call('delete_observations', { deletions: [{ entityName: 'Ann', observations: ['is a DBA'] }] }),
  call('delete_relations', { relations: [knows] }),
  call('delete_entities', { entityNames: ['Ann'] }),
  call('read_graph'),
];

const simpleData = 'data:text/plain;base64,SGVsbG8=';
export const everything = [
  step('until', { tool: 'simulate-research-query' }), // the server adds tools after it has asked for the roots
  ...lists,
  step('ping', undefined, legacy),
  call('echo', { message: 'žluť €\u{1f980} \\ " \u0000 \u2028' }),
  call('get-sum', { a: 0.1, b: 1e21 }),
  call('get-sum', { a: 'x' }),
  call('get-annotated-message', { messageType: 'error', includeImage: true }),
  call('get-env'),
  call('get-tiny-image'),
  call('get-resource-links', { count: 3 }),
  call('get-resource-reference', { resourceType: 'Text', resourceId: 7 }),
  call('get-structured-content', { location: 'Chicago' }),
  call('gzip-file-as-resource', { name: 'a.gz', data: simpleData, outputType: 'resource' }),
  call('trigger-long-running-operation', { duration: 0.5, steps: 5 }, { progress: true }),
  call('trigger-long-running-operation', { duration: 30, steps: 30 }, { cancel: 300 }),
  call('trigger-sampling-request', { prompt: 'say something', maxTokens: 10 }),
  call('trigger-elicitation-request'),
  call('trigger-url-elicitation', { url: 'https://example.com/', elicitationId: 'one' }),
  call('trigger-url-elicitation', { url: 'https://example.com/', elicitationId: 'two', errorPath: true }),
  call('get-roots-list'),
  call('no-such-tool'),
  step('task', { name: 'simulate-research-query', arguments: { topic: 'tides' } }, legacy),
  call('simulate-research-query', { topic: 'tides' }),
  read('demo://resource/static/document/features.md'),
  read('demo://resource/dynamic/text/1'),
  read('demo://resource/none'),
  prompt('simple-prompt'),
  prompt('args-prompt', { city: 'Brno', state: 'CZ' }),
  prompt('args-prompt', {}),
  prompt('resource-prompt', { resourceType: 'Text', resourceId: '3' }),
  prompt('none'),
  step('completion/complete', { ref: { type: 'ref/prompt', name: 'completable-prompt' }, argument: { name: 'department', value: 'S' } }),
  step('completion/complete', {
    ref: { type: 'ref/prompt', name: 'completable-prompt' }, argument: { name: 'name', value: '' }, context: { arguments: { department: 'Sales' } },
  }),
  step('logging/setLevel', { level: 'warning' }, legacy),
  step('resources/subscribe', { uri: 'demo://resource/dynamic/text/1' }, legacy),
  call('toggle-subscriber-updates', {}, legacy),
  settle(500),
  call('toggle-subscriber-updates', {}, legacy),
  step('resources/unsubscribe', { uri: 'demo://resource/dynamic/text/1' }, legacy),
  step('parallel', undefined, { steps: Array.from({ length: 20 }, (_, at) => call('get-sum', { a: at, b: at })) }),
  step('roots/changed', undefined, legacy),
  settle(1000),
];

const watch = 'test://watched-resource';
const asks = ['elicitation', 'sampling', 'list_roots', 'multiple_inputs', 'multi_round', 'request_state', 'capabilities'];
export const fixtures = [
  ...lists,
  ...['simple_text', 'image_content', 'audio_content', 'embedded_resource', 'multiple_content_types', 'error_handling', 'tool_with_logging']
    .map((name) => call(`test_${name}`)),
  call('test_tool_with_progress', {}, { progress: true }),
  call('json_schema_2020_12_tool', { name: 'n', contactMethod: 'phone', phone: '1' }),
  call('json_schema_2020_12_tool', { name: 1 }),
  call('test_parameter_headers', { region: 'a b', shard: 7 }),
  call('test_parameter_headers', { region: 'žluť', shard: -7 }),
  call('echo', { list: [null, true, 1.5, 'x', { a: {} }, []], '': 'empty', __proto: 'x', path: '../../etc' }),
  call('large', { bytes: 900_000 }),
  call('wait', { milliseconds: 20_000 }, { cancel: 300 }),
  ...asks.map((name) => call(`test_input_required_result_${name}`)),
  call('test_sampling', { prompt: 'a question' }),
  call('test_elicitation', { message: 'who?' }),
  call('test_elicitation_sep1034_defaults'),
  call('test_elicitation_sep1330_enums'),
  call('test_reconnection', {}, legacy),
  call('no_such_tool'),
  ...['test://static-text', 'test://static-binary', 'test://template/12/data', 'test://none', watch].map(read),
  prompt('test_simple_prompt'),
  prompt('test_prompt_with_arguments', { arg1: 'a', arg2: 'b' }),
  prompt('test_prompt_with_arguments', {}),
  prompt('test_prompt_with_embedded_resource', { resourceUri: 'test://x' }),
  prompt('test_prompt_with_image'),
  prompt('test_input_required_result_prompt'),
  step('completion/complete', { ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' }, argument: { name: 'arg1', value: 'par' } }),
  step('ping', undefined, legacy),
  step('logging/setLevel', { level: 'error' }, legacy),
  call('test_tool_with_logging'),
  step('resources/subscribe', { uri: watch }, legacy),
  call('update', { uri: watch }, legacy),
  settle(500),
  step('resources/unsubscribe', { uri: watch }, legacy),
  step('listen', { toolsListChanged: true, resourceSubscriptions: [watch] }, {
    ...modern, steps: [call('test_trigger_tool_change'), call('test_trigger_prompt_change'), call('update', { uri: watch }), call('update', { uri: 'test://other' })],
  }),
  step('parallel', undefined, { steps: Array.from({ length: 20 }, (_, at) => call('wait', { milliseconds: (20 - at) * 10 })) }),
  settle(500),
];
