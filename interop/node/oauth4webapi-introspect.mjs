// Introspects and revokes a token (RFC 7662, 9701, 7009) with oauth4webapi.
import { forEachPiece } from './work.mjs'
import * as oauth from 'oauth4webapi'

const insecure = { [oauth.allowInsecureRequests]: true }

await forEachPiece(async ({ issuer, client_id, secret, token, revoke, signed }) => {
  try {
    const url = new URL(issuer)
    const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...insecure }))
    const client = { client_id, ...(signed && { introspection_signed_response_alg: 'ES256' }) }
    const auth = oauth.ClientSecretBasic(secret)
    if (revoke) {
      await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, insecure))
      return { done: true }
    }
    const response = await oauth.introspectionRequest(as, client, auth, token, insecure)
    const said = await oauth.processIntrospectionResponse(as, client, response)
    if (signed) {
      if (!response.headers.get('content-type').startsWith('application/token-introspection+jwt')) return { error: 'not signed' }
      await oauth.validateApplicationLevelSignature(as, response, insecure)
    }
    return said
  } catch (err) {
    if (err.code === oauth.WWW_AUTHENTICATE_CHALLENGE) return { error: (await err.response.json()).error }
    return { error: err.error ?? err.code ?? `${err}` }
  }
})
