// Verifies access tokens by RFC 9068 with oauth4webapi.
import { forEachPiece } from './work.mjs'
import * as oauth from 'oauth4webapi'

await forEachPiece(async ({ token, issuer, audience, jwks_uri, alg, ahead }) => {
  const request = new Request('https://api.example.com/', { headers: { authorization: `Bearer ${token}` } })
  try {
    await oauth.validateJwtAccessToken({ issuer, jwks_uri }, request, audience, {
      signingAlgorithms: [alg], [oauth.clockSkew]: ahead, [oauth.allowInsecureRequests]: true,
    })
    return ''
  } catch (err) {
    return err.code ?? `${err}`
  }
})
