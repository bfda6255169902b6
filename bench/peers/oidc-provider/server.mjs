// Serves oidc-provider as a token endpoint for machines: one process, its own
// in-memory adapter, JWT access tokens through resource indicators. Its argument
// is the configuration file that bench/peers writes.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));

// The resource server determines the algorithm of its tokens.
const algorithms = { 'urn:bench:es256': 'ES256', 'urn:bench:rs256': 'RS256' };

const provider = new Provider(config.issuer, {
  jwks: { keys: config.signing_keys },
  clients: [
    {
      client_id: config.client_id,
      client_secret: config.client_secret,
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
    {
      client_id: config.key_client_id,
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [config.client_key] },
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  clientAuthMethods: ['client_secret_post', 'private_key_jwt'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:bench:es256',
      getResourceServerInfo: (ctx, resource) => ({
        scope: '',
        audience: resource,
        // Introspection is for opaque tokens only.
        accessTokenFormat: resource in algorithms ? 'jwt' : 'opaque',
        accessTokenTTL: 3600,
        jwt: resource in algorithms ? { sign: { alg: algorithms[resource] } } : undefined,
      }),
    },
  },
});

const [host, port] = config.listen.split(':');
const server = config.tls_cert
  ? createServer({ cert: readFileSync(config.tls_cert), key: readFileSync(config.tls_key) }, provider.callback())
  : provider;
const listening = server.listen(Number(port), host);
// Node's default of 5 s closes connections that a load balancer still uses.
listening.keepAliveTimeout = 65_000;
