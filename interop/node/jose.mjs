// The version of jose that the argument names, behind the names of the newest.
import { library } from './work.mjs'

const load = {
  jose: () => import('jose'),
  // Version 3 exports one function from each of many paths.
  'jose-3': async () => ({
    ...await import('jose-3/key/import'),
    SignJWT: (await import('jose-3/jwt/sign')).SignJWT,
    jwtVerify: (await import('jose-3/jwt/verify')).jwtVerify,
    createRemoteJWKSet: (await import('jose-3/jwks/remote')).createRemoteJWKSet,
  }),
}

export const { SignJWT, importPKCS8, jwtVerify, createRemoteJWKSet } = await load[library]()
