// The version of jose given as argument, with the names of the newest one.
import { library } from './work.mjs'

const load = {
  jose: () => import('jose'),
  // Version 3 exports each function from a path of its own.
  'jose-3': async () => ({
    ...await import('jose-3/key/import'),
    SignJWT: (await import('jose-3/jwt/sign')).SignJWT,
    jwtVerify: (await import('jose-3/jwt/verify')).jwtVerify,
    createRemoteJWKSet: (await import('jose-3/jwks/remote')).createRemoteJWKSet,
  }),
}

export const { SignJWT, importPKCS8, jwtVerify, createRemoteJWKSet } = await load[library]()
