package tokensource

import "moneyer/internal/secrettext"

// ParseSecret returns the client secret or API key in the content of a file or of an environment
// variable, for Credential.Secret and Credential.APIKey: without the line ends (LF, CR LF) that
// follow it. What cannot be a secret is refused with the reason, before a platform refuses it
// without one: text that is empty, begins with a byte order mark, is UTF-16 or not UTF-8, has
// another line, begins or ends with a blank, has NUL, another control character or an invisible one
// in it, or is longer than 4 KiB. The error does not quote the secret.
func ParseSecret(data []byte) (string, error) { return secrettext.Parse(data) }
