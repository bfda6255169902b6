package wholelife

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"moneyer/bearer"
)

// startKey is where the moment at which a call came stands in its context.
type startKey struct{}

// runAPI is an API that guards itself with package bearer, until its standard
// input ends. It answers with the jti of the token.
func runAPI(r role, told *teller) error {
	// It waits for a hanging issuer no longer than this.
	client := &http.Client{Transport: &observer{told: told}, Timeout: 3 * time.Second}
	keys := &bearer.RemoteKeys{Issuer: r.Issuer, HTTPClient: client}
	verifier := &bearer.Verifier{
		Issuer: r.Issuer, Audience: []string{audience}, Leeway: leeway, Keys: keys, CacheSize: 100,
		Revocations: &bearer.RevocationList{Issuer: r.Issuer, Keys: keys, HTTPClient: client, Interval: interval, MaxStale: maxStale},
	}
	guarded := verifier.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, start := bearer.ClaimsFrom(r.Context()), r.Context().Value(startKey{}).(time.Time)
		told.tell(event{Kind: accepted, Start: start, End: time.Now(), JTI: claims.ID, Kid: claims.KeyID, Client: claims.ClientID, Expiry: claims.Expiry})
		_, _ = io.WriteString(w, claims.ID)
	}))
	stamped := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guarded.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), startKey{}, time.Now())))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: stamped}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	told.tell(event{Kind: listening, URL: "http://" + listener.Addr().String()})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// observer tells of what the API asks the issuer for.
type observer struct{ told *teller }

func (o *observer) RoundTrip(req *http.Request) (*http.Response, error) {
	e := event{Kind: fetched, Start: time.Now(), URL: req.URL.String()}
	resp, err := http.DefaultTransport.RoundTrip(req)
	e.End = time.Now()
	if err != nil {
		e.Error = err.Error()
	} else {
		e.Status = resp.StatusCode
	}
	o.told.tell(e)
	return resp, err
}
