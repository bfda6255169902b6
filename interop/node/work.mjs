// Reads a JSON array from standard input, processes its elements in order, and
// writes the array of their results.
import { webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'

// Node 18 has these, but not as globals.
globalThis.crypto ??= webcrypto
globalThis.CryptoKey ??= webcrypto.CryptoKey

export const library = process.argv[2]

export async function forEachPiece(work) {
  const results = []
  for (const piece of JSON.parse(readFileSync(0, 'utf8'))) results.push(await work(piece))
  process.stdout.write(JSON.stringify(results))
}
