// Fetches tokens with openid-client, including discovery.
import { forEachPiece } from './work.mjs'
import * as client from 'openid-client'
import { importPKCS8 } from 'jose'

async function clientAuth({ auth, secret, pem, alg, kid }) {
  switch (auth) {
    case 'client_secret_basic': return client.ClientSecretBasic(secret)
    case 'client_secret_post': return client.ClientSecretPost(secret)
    case 'private_key_jwt': return client.PrivateKeyJwt({ key: await importPKCS8(pem, alg), kid })
    case 'none': return client.None()
  }
}

await forEachPiece(async (work) => {
  try {
    const config = await client.discovery(new URL(work.issuer), work.client_id, undefined, await clientAuth(work),
      { algorithm: work.discovery, execute: [client.allowInsecureRequests] })
    const parameters = {}
    if (work.scope) parameters.scope = work.scope
    if (work.assertion) {
      return await client.genericGrantRequest(config, work.grant_type, { ...parameters, assertion: work.assertion })
    }
    return await client.clientCredentialsGrant(config, parameters)
  } catch (err) {
    const challenged = err.code === 'OAUTH_WWW_AUTHENTICATE_CHALLENGE'
    if (challenged) return { error: (await (err.response ?? err.cause.response).json()).error }
    return { error: err.error ?? err.code ?? `${err}` }
  }
})
