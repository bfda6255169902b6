package server

import (
	"strconv"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/platform"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// encode writes the token in the profile's answer (RFC 6749 §5.1).
func (c *call) encode(token *authority.AccessToken) {
	body := make([]byte, 0, len(token.Token)+256)
	body = append(body, '{')
	for i := range c.wire.Response {
		member := &c.wire.Response[i]
		if member.From == platform.FromScope && len(token.Scope) == 0 && c.req.Scope == "" {
			continue // what was asked for and not granted is told, also where nothing is left (RFC 6749 §5.1)
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = strictjson.AppendString(body, member.Name)
		body = append(body, ':')
		body = appendMember(body, c.wire.Wire, member, token)
	}
	body = append(body, '}')
	c.grant(jsonType, body)
}

// grant writes an answer that no cache may keep.
func (c *call) grant(contentType []string, body []byte) {
	h := c.w.Header()
	if contentType != nil {
		h["Content-Type"] = contentType
	}
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.decided("")
	_, _ = c.w.Write(body)
}

// Header values that every answer shares.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
	noCache  = []string{"no-cache"}
)

func appendMember(dst []byte, wire *platform.Wire, member *platform.Member, token *authority.AccessToken) []byte {
	switch member.From {
	case platform.FromAccessToken:
		return strictjson.AppendString(dst, token.Token)
	case platform.FromTokenType:
		if token.Type == oauth.TokenTypeBearer {
			return strictjson.AppendString(dst, wire.TokenType)
		}
		return strictjson.AppendString(dst, string(token.Type))
	case platform.FromExpiresIn:
		return appendNumber(dst, member.Type, token.ExpiresIn)
	case platform.FromExpiresAt:
		if member.Type == platform.TypeISO8601 {
			return strictjson.AppendString(dst, token.Expires.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
		}
		return appendNumber(dst, member.Type, token.Expires.Unix())
	default:
		return strictjson.AppendString(dst, token.Scope.String())
	}
}

// appendNumber writes a number, or the string that some platforms make of it.
func appendNumber(dst []byte, as platform.ValueType, n int64) []byte {
	if as == platform.TypeString {
		dst = append(dst, '"')
		return append(strconv.AppendInt(dst, n, 10), '"')
	}
	return strconv.AppendInt(dst, n, 10)
}

// oneSecond is the most frequent Retry-After.
var oneSecond = []string{"1"}

// retrySeconds rounds up: to come back too early would be refused again.
func retrySeconds(d time.Duration) []string {
	if d <= time.Second {
		return oneSecond
	}
	return []string{strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)}
}
