// Verifies access tokens with an issuer's published keys, with the version of
// jose given as argument.
import { forEachPiece } from './work.mjs'
import { createRemoteJWKSet, jwtVerify } from './jose.mjs'

const keySets = new Map()

await forEachPiece(async ({ token, issuer, audience, jwks_uri, alg, ahead }) => {
  if (!keySets.has(jwks_uri)) keySets.set(jwks_uri, createRemoteJWKSet(new URL(jwks_uri)))
  try {
    await jwtVerify(token, keySets.get(jwks_uri), {
      issuer, audience, algorithms: [alg], currentDate: new Date(Date.now() + ahead * 1000),
    })
    return ''
  } catch (err) {
    return err.code ?? `${err}`
  }
})
