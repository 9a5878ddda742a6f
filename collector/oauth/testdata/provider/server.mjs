// Two authorization servers of the package oidc-provider, with the paths of
// Atlassian Cloud and of a Data Center site, and behind each the few API
// endpoints that a consent asks. The tests start this as a child; it prints one
// line of JSON when it listens and ends with its standard input.
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const cloudId = '6f2d7c1a-0000-4000-8000-000000000001';

// listen starts an HTTP server on a free loopback port.
function listen() {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ server, origin: `http://127.0.0.1:${server.address().port}` }));
  });
}

// common is what both servers share: refresh tokens rotate, and one that comes
// back revokes its grant, which is this package's own doing.
function common(scopes) {
  return {
    scopes,
    cookies: { keys: ['a key for signing cookies of tests'] },
    rotateRefreshToken: true,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    ttl: { AccessToken: 3600, ClientCredentials: 3600, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600, AuthorizationCode: 10 },
    features: { devInteractions: { enabled: true }, clientCredentials: { enabled: true }, userinfo: { enabled: false } },
  };
}

// api answers requests with a token that the provider issued.
function api(provider, routes) {
  return async (req, res) => {
    const send = (status, body, headers = {}) => {
      res.writeHead(status, { 'content-type': 'application/json', ...headers });
      res.end(JSON.stringify(body));
    };
    const route = routes[new URL(req.url, 'http://localhost').pathname];
    if (!route) return false;
    const [, value] = /^Bearer (.+)$/.exec(req.headers.authorization ?? '') ?? [];
    const token = value && ((await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value)));
    if (!token) {
      send(401, { message: 'Client must be authenticated to access this resource.' });
    } else if (route.scope && !token.scopes.has(route.scope)) {
      send(403, { message: 'The scope does not suffice' }, { 'www-authenticate': 'Bearer error="insufficient_scope"' });
    } else {
      send(200, route.answer(token));
    }
    return true;
  };
}

function serve(server, provider, answered) {
  const handle = provider.callback();
  server.on('request', async (req, res) => {
    if (!(await answered(req, res))) handle(req, res);
  });
}

async function cloud() {
  const { server, origin } = await listen();
  const scopes = ['offline_access', 'read:space:confluence', 'read:confluence-user', 'read:audit-log:confluence'];
  const provider = new Provider(origin, {
    ...common(scopes),
    routes: { authorization: '/authorize', token: '/oauth/token' },
    pkce: { required: () => false },
    issueRefreshToken: (ctx, client, code) => code.scopes.has('offline_access'),
    clients: [
      { ...settings.app, redirect_uris: [settings.redirect], grant_types: ['authorization_code', 'refresh_token'], token_endpoint_auth_method: 'client_secret_post', scope: scopes.join(' ') },
      { ...settings.service, redirect_uris: [], response_types: [], grant_types: ['client_credentials'], token_endpoint_auth_method: 'client_secret_post', scope: 'read:space:confluence' },
    ],
  });
  serve(server, provider, api(provider, {
    '/oauth/token/accessible-resources': { answer: (token) => [{ id: cloudId, name: 'acme', url: 'https://acme.example', scopes: [...token.scopes] }] },
    [`/ex/confluence/${cloudId}/wiki/rest/api/user/current`]: { answer: (token) => ({ accountId: token.accountId }) },
    [`/ex/confluence/${cloudId}/wiki/api/v2/spaces`]: { answer: () => ({ results: [] }) },
  }));
  return origin;
}

async function dataCenter() {
  const { server, origin } = await listen();
  const scopes = ['READ', 'WRITE', 'ADMIN', 'SYSTEM_ADMIN'];
  const provider = new Provider(origin, {
    ...common(scopes),
    routes: { authorization: '/confluence/rest/oauth2/latest/authorize', token: '/confluence/rest/oauth2/latest/token' },
    pkce: { required: () => true },
    issueRefreshToken: () => true,
    clients: [
      { ...settings.link, redirect_uris: [settings.redirect], grant_types: ['authorization_code', 'refresh_token'], token_endpoint_auth_method: 'client_secret_post', scope: scopes.join(' ') },
    ],
  });
  // Data Center ends the access token in use with each refresh; this package lets
  // it live.
  const newest = new Map();
  provider.on('access_token.saved', async (token) => {
    const before = newest.get(token.grantId);
    newest.set(token.grantId, token.jti);
    if (before) await (await provider.AccessToken.find(before))?.destroy();
  });
  serve(server, provider, api(provider, {
    '/confluence/rest/api/user/current': { answer: (token) => ({ type: 'known', username: token.accountId, userKey: `key-of-${token.accountId}` }) },
    '/confluence/rest/api/user/list': { scope: 'ADMIN', answer: () => ({ results: [] }) },
    '/confluence/rest/api/space': { answer: () => ({ results: [] }) },
  }));
  return `${origin}/confluence`;
}

const addresses = { cloud: await cloud(), dataCenter: await dataCenter(), cloudId };
process.stdout.write(`${JSON.stringify(addresses)}\n`);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
