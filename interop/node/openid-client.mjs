// Fetches tokens with openid-client, including discovery.
import { forEachPiece } from './work.mjs'
import * as client from 'openid-client'
import { importPKCS8 } from 'jose'
import { tlsFetch } from './tls.mjs'

async function clientAuth({ auth, secret, pem, alg, kid }) {
  switch (auth) {
    case 'client_secret_basic': return client.ClientSecretBasic(secret)
    case 'client_secret_post': return client.ClientSecretPost(secret)
    case 'private_key_jwt': return client.PrivateKeyJwt({ key: await importPKCS8(pem, alg), kid })
    case 'tls_client_auth':
    case 'self_signed_tls_client_auth': return client.TlsClientAuth()
    case 'none': return client.None()
  }
}

await forEachPiece(async (work) => {
  try {
    const fetch = tlsFetch(work)
    const config = await client.discovery(new URL(work.issuer), work.client_id, { use_mtls_endpoint_aliases: Boolean(work.certificate) },
      await clientAuth(work), { algorithm: work.discovery, ...(fetch ? { [client.customFetch]: fetch } : { execute: [client.allowInsecureRequests] }) })
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
