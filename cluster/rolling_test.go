package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"moneyer/cluster/load"
)

// TestRollingRestart restarts one replica after the other behind HAProxy, under load over
// persistent HTTP/1.1 and HTTP/2 connections: no request fails.
func TestRollingRestart(t *testing.T) {
	s := sharedCluster(t)
	c := caller(t, s)
	h2 := *c
	h2.HTTP = &http.Client{Timeout: clientTimeout, Transport: &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // the proxy's certificate is self-signed
	t.Cleanup(h2.HTTP.CloseIdleConnections)
	resp, err := h2.HTTP.Get(s.SecureIssuerURL() + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Fatalf("%s by %s, want 200 by HTTP/2", resp.Status, resp.Proto)
	}
	since := time.Now()
	runs := []*load.Run{c.Start(8, s.IssuerURL()), h2.Start(8, s.SecureIssuerURL())}
	rounds := often(2, 50)
	for round := range rounds {
		for _, r := range s.Replicas {
			if err := r.Stop(); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if err := errors.Join(r.Launch(), r.AwaitReady(t.Context())); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			eventually(t, 10*time.Second, func(ctx context.Context) error { // until HAProxy forwards to it again
				n, err := r.Metric(ctx, "moneyer_requests_total")
				if err == nil && n == 0 {
					err = fmt.Errorf("%s gets no requests", r.Name)
				}
				return err
			})
		}
	}
	requests := 0
	for _, run := range runs {
		records := stopped(t, run)
		for n := range records {
			if r := &records[n]; harmed(r) {
				t.Errorf("a request failed: %+v", r.Answers)
			}
		}
		checkLedger(t, s, since, records)
		requests += len(records)
	}
	t.Logf("%d rounds in %v: %d requests, none failed", rounds, time.Since(since).Round(time.Millisecond), requests)
}
