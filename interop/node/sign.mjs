// Signs assertions with the version of jose given as argument.
import { forEachPiece } from './work.mjs'
import { SignJWT, importPKCS8 } from './jose.mjs'

await forEachPiece(async ({ pem, alg, kid, claims }) =>
  new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'JWT' }).sign(await importPKCS8(pem, alg)))
