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

// startKey is the context key of the time at which a call arrived.
type startKey struct{}

// runAPI runs an API that is protected by package bearer until standard input ends. It responds
// with the jti of the token.
func runAPI(r role, out *reporter) error {
	// It waits no longer for an unresponsive issuer.
	client := &http.Client{Transport: &observer{out: out}, Timeout: 3 * time.Second}
	keys := &bearer.RemoteKeys{Issuer: r.Issuer, HTTPClient: client}
	verifier := &bearer.Verifier{
		Issuer: r.Issuer, Audience: []string{audience}, Leeway: leeway, Keys: keys, CacheSize: 100,
		Revocations: &bearer.RevocationList{Issuer: r.Issuer, Keys: keys, HTTPClient: client, Interval: interval, MaxStale: maxStale},
	}
	guarded := verifier.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, start := bearer.ClaimsFrom(r.Context()), r.Context().Value(startKey{}).(time.Time)
		out.report(event{Kind: accepted, Start: start, End: time.Now(), JTI: claims.ID, Kid: claims.KeyID, Client: claims.ClientID, Expiry: claims.Expiry})
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
	out.report(event{Kind: listening, URL: "http://" + listener.Addr().String()})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// observer reports the requests of the API to the issuer.
type observer struct{ out *reporter }

func (o *observer) RoundTrip(req *http.Request) (*http.Response, error) {
	e := event{Kind: fetched, Start: time.Now(), URL: req.URL.String()}
	resp, err := http.DefaultTransport.RoundTrip(req)
	e.End = time.Now()
	if err != nil {
		e.Error = err.Error()
	} else {
		e.Status = resp.StatusCode
	}
	o.out.report(e)
	return resp, err
}
