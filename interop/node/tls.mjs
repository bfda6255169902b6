// fetch over TLS that trusts the CA of the work and shows its certificate, for work that has a CA.
import { request } from 'node:https'

export function tlsFetch({ ca, certificate, certificate_key }) {
  if (!ca) return undefined
  return (url, { method, headers, body }) => new Promise((resolve, reject) => {
    const asked = request(url, { method, headers: Object.fromEntries(new Headers(headers)), ca, cert: certificate, key: certificate_key, agent: false }, (answer) => {
      const parts = []
      answer.on('data', (part) => parts.push(part))
      answer.on('end', () => resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: new Headers(answer.headers) })))
    })
    asked.on('error', reject)
    asked.end(body === undefined || body === null ? undefined : body.toString())
  })
}
