package main

import (
	"net/http"
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"
)

// startPlatforms serves every platform until the script ends.
func startPlatforms(env *testscript.Env) string {
	server := httptest.NewServer(http.NotFoundHandler())
	env.Defer(server.Close)
	return server.URL
}
