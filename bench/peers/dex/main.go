// Command dex serves dex as a token endpoint for machines: its server package with its in-memory
// storage, a P-256 key from its own signer, and one client, wired like dex's own command, including
// metrics.
//
// It exists because dex's own command does not build from the module proxy: its gRPC API needs a
// second module that only its repository has.
//
// Its argument is the configuration file that bench/peers writes.
package main

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/connectors"
	"github.com/dexidp/dex/server/oauth2"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/server/tokens"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// config is what bench/peers writes.
type config struct {
	Listen       string `json:"listen"`
	TLSCert      string `json:"tls_cert"`
	TLSKey       string `json:"tls_key"`
	Issuer       string `json:"issuer"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

func main() {
	if err := serve(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func serve(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	const life = time.Hour // of a token
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store := storage.WithStaticClients(memory.New(logger), []storage.Client{{
		ID: c.ClientID, Secret: c.ClientSecret, Name: "Benchmark",
	}})
	// Dex does not start without a connector for user logins.
	store = storage.WithStaticConnectors(store, []storage.Connector{{
		ID: connectors.LocalConnector, Type: connectors.LocalConnector, Name: "Email",
	}})
	keys := signer.LocalConfig{KeysRotationPeriod: "6h", Algorithm: jose.ES256}
	signs, err := keys.Open(ctx, store, life, time.Now, logger)
	if err != nil {
		return err
	}
	refresh, err := tokens.NewRefreshTokenPolicy(logger, false, "", "", "")
	if err != nil {
		return err
	}
	handler, err := server.NewServer(ctx, server.Config{
		Issuer:             c.Issuer,
		Storage:            store,
		AllowedGrantTypes:  []string{oauth2.GrantTypeClientCredentials},
		IDTokensValidFor:   life,
		RefreshTokenPolicy: refresh,
		Signer:             signs,
		Logger:             logger,
		PrometheusRegistry: prometheus.NewRegistry(),
	})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: c.Listen, Handler: handler}
	if c.TLSCert != "" {
		return server.ListenAndServeTLS(c.TLSCert, c.TLSKey)
	}
	return server.ListenAndServe()
}
