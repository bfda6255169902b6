// Fetches tokens with oauth4webapi, including discovery.
import { forEachPiece } from './work.mjs'
import * as oauth from 'oauth4webapi'
import { importPKCS8 } from 'jose'

const insecure = { [oauth.allowInsecureRequests]: true }

async function clientAuth({ auth, secret, pem, alg, kid }) {
  switch (auth) {
    case 'client_secret_basic': return oauth.ClientSecretBasic(secret)
    case 'client_secret_post': return oauth.ClientSecretPost(secret)
    case 'private_key_jwt': return oauth.PrivateKeyJwt({ key: await importPKCS8(pem, alg), kid })
    case 'none': return oauth.None()
  }
}

await forEachPiece(async (work) => {
  try {
    const issuer = new URL(work.issuer)
    const as = await oauth.processDiscoveryResponse(issuer,
      await oauth.discoveryRequest(issuer, { algorithm: work.discovery, ...insecure }))
    const client = { client_id: work.client_id }
    const parameters = {}
    if (work.scope) parameters.scope = work.scope
    if (work.assertion) {
      parameters.assertion = work.assertion
      const response = await oauth.genericTokenEndpointRequest(as, client, await clientAuth(work), work.grant_type, parameters, insecure)
      return await oauth.processGenericTokenEndpointResponse(as, client, response)
    }
    const response = await oauth.clientCredentialsGrantRequest(as, client, await clientAuth(work), parameters, insecure)
    return await oauth.processClientCredentialsResponse(as, client, response)
  } catch (err) {
    // A challenge in WWW-Authenticate is reported before the response body.
    if (err.code === oauth.WWW_AUTHENTICATE_CHALLENGE) return { error: (await err.response.json()).error }
    return { error: err.error ?? err.code ?? `${err}` }
  }
})
