// Fetches tokens with oauth4webapi, including discovery.
import { forEachPiece } from './work.mjs'
import * as oauth from 'oauth4webapi'
import { importPKCS8 } from 'jose'
import { tlsFetch } from './tls.mjs'

async function clientAuth({ auth, secret, pem, alg, kid }) {
  switch (auth) {
    case 'client_secret_basic': return oauth.ClientSecretBasic(secret)
    case 'client_secret_post': return oauth.ClientSecretPost(secret)
    case 'private_key_jwt': return oauth.PrivateKeyJwt({ key: await importPKCS8(pem, alg), kid })
    case 'tls_client_auth':
    case 'self_signed_tls_client_auth': return oauth.TlsClientAuth()
    case 'none': return oauth.None()
  }
}

await forEachPiece(async (work) => {
  try {
    const issuer = new URL(work.issuer)
    const options = work.ca ? { [oauth.customFetch]: tlsFetch(work) } : { [oauth.allowInsecureRequests]: true }
    const as = await oauth.processDiscoveryResponse(issuer,
      await oauth.discoveryRequest(issuer, { algorithm: work.discovery, ...options }))
    const client = { client_id: work.client_id, use_mtls_endpoint_aliases: Boolean(work.certificate) }
    const parameters = {}
    if (work.scope) parameters.scope = work.scope
    if (work.assertion) {
      parameters.assertion = work.assertion
      const response = await oauth.genericTokenEndpointRequest(as, client, await clientAuth(work), work.grant_type, parameters, options)
      return await oauth.processGenericTokenEndpointResponse(as, client, response)
    }
    const response = await oauth.clientCredentialsGrantRequest(as, client, await clientAuth(work), parameters, options)
    return await oauth.processClientCredentialsResponse(as, client, response)
  } catch (err) {
    // A challenge in WWW-Authenticate is reported before the response body.
    if (err.code === oauth.WWW_AUTHENTICATE_CHALLENGE) return { error: (await err.response.json()).error }
    return { error: err.error ?? err.code ?? `${err}` }
  }
})
