module moneyer/interop

go 1.26.4

require (
	github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a
	github.com/coreos/go-oidc/v3 v3.21.0
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/google/go-cmp v0.7.0
	golang.org/x/oauth2 v0.38.0
	moneyer v0.0.0
)

require (
	github.com/BurntSushi/toml v1.6.0 // indirect
	github.com/spiffe/go-spiffe/v2 v2.9.0
	golang.org/x/sync v0.25.0 // indirect
)

replace moneyer => ../
