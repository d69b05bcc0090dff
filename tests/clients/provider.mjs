// An OpenID provider (npm oidc-provider) that lets anybody in, and a browser that signs Ann in.
import { createHash, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

export const CALLBACK = 'http://127.0.0.1:9/callback';
const SCOPES = 'tickets:read tickets:write';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

/** Serves the provider; resolves to its issuer. */
export function serve(port) {
  const issuer = `http://127.0.0.1:${port}`;
  const resource = (audience) => ({ scope: SCOPES, audience, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } } });
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'desktop', redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none', application_type: 'native' }],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    scopes: ['openid', ...SCOPES.split(' ')],
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      resourceIndicators: { enabled: true, useGrantedResource: () => true, getResourceServerInfo: (_, uri) => resource(uri) },
    },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  return new Promise((resolve) => {
    const server = provider.listen(port, '127.0.0.1', () => resolve({ issuer, close: () => server.close() }));
  });
}

/** Follows `start` as a browser does, signing in and consenting on the way; resolves to where it comes back. */
export async function browse(start) {
  const jar = new Map();
  const go = async (url, init = {}) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { ...init, headers: { ...init.headers, cookie }, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [pair] = line.split(';');
      jar.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    return response;
  };
  const next = (response, from) => new URL(response.headers.get('location'), from).href;
  let url = start;
  for (let steps = 0; steps < 20; steps += 1) {
    if (url.startsWith(CALLBACK)) return new URL(url);
    const response = await go(url);
    if (response.status >= 300 && response.status < 400) {
      url = next(response, url);
      continue;
    }
    const page = await response.text();
    const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
    if (!prompt) throw new Error(`${response.status} at ${url}: ${page.slice(0, 300)}`);
    const form = new URL(/action="([^"]+)"/.exec(page)[1], url).href;
    const body = new URLSearchParams({ prompt, login: 'ann', password: 'any' }).toString();
    url = next(await go(form, { method: 'POST', headers: FORM, body }), form);
  }
  throw new Error('the sign-in does not end');
}

/** Signs Ann in at `issuer` by code and PKCE (RFC 7636), for `resource` (RFC 8707). */
export async function signIn(issuer, resource) {
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const query = new URLSearchParams({
    client_id: 'desktop', response_type: 'code', redirect_uri: CALLBACK, scope: `openid ${SCOPES}`, resource,
    code_challenge: challenge, code_challenge_method: 'S256', state: 's',
  });
  const back = await browse(`${issuer}/auth?${query}`);
  const body = new URLSearchParams({
    grant_type: 'authorization_code', code: back.searchParams.get('code'), redirect_uri: CALLBACK,
    client_id: 'desktop', code_verifier: verifier, resource,
  });
  const answer = await (await fetch(`${issuer}/token`, { method: 'POST', headers: FORM, body: body.toString() })).json();
  if (!answer.access_token) throw new Error(JSON.stringify(answer));
  return answer;
}
