package bearer

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"time"

	"moneyer/internal/fetch"
)

// fetchLimit bounds the time of one fetch: of all its requests together.
const fetchLimit = 10 * time.Second

// get fetches what an issuer publishes. client may be nil. The status of the answer
// is 304 when what the issuer has is still what If-None-Match names.
func get(ctx context.Context, client *http.Client, location string, header http.Header, maxBytes int64) (*fetch.Answer, error) {
	req, err := (&Credential{}).request(ctx, location, header)
	if err != nil {
		return nil, err
	}
	return document(client, req, maxBytes)
}

// document sends a request for what an issuer publishes.
func document(client *http.Client, req *http.Request, maxBytes int64) (*fetch.Answer, error) {
	answer, err := fetch.Document(client, req, fetch.Limits{Bytes: maxBytes, Time: fetchLimit})
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind == "text/html" {
		return nil, fmt.Errorf("bearer: %s answered with a web page", req.URL.Redacted())
	}
	return answer, nil
}
