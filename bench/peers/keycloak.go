package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"moneyer/bench/subject"
)

// The version of Keycloak, and what is fixed when it is built: the database's driver, and a more
// efficient treatment of JSON that its guide "Configuring Keycloak for production" describes.
const (
	keycloakVersion = "26.7.5"
	keycloakBuild   = "build --db=postgres --features=http-optimized-serializers"
)

// keycloakHeap is what its start script sets in a container of 1,360 MB, the limit that its guide
// "Concepts for sizing CPU and memory resources" calculates. Without a container it is 512 MB at most.
const keycloakHeap = "-XX:MaxRAM=1360m -XX:MaxRAMPercentage=70 -XX:MinRAMPercentage=70 -XX:InitialRAMPercentage=50"

// keycloakRealm is the name of the realm, and of its clients' identity provider.
const keycloakRealm = "bench"

// keycloak is the distribution of Keycloak in production mode, one node, on PostgreSQL.
func keycloak() peer {
	java := javaServer{name: "keycloak", stamp: keycloakVersion + " " + keycloakBuild}
	return peer{
		installed: func() error {
			_, err := postgresPrograms()
			return errors.Join(err, java.installed())
		},
		Server: subject.Server{
			Name:   "Keycloak",
			Keeps:  "nothing per token; consumed assertions in memory. Realm and clients: PostgreSQL (synchronous_commit=on)",
			WarmUp: javaWarmUp,
			Cannot: map[subject.Kind]string{
				subject.ClientCredentialsRS256: "set up with one key, ES256",
			},
			Install: func(ctx context.Context, log io.Writer) (string, error) { return installKeycloak(ctx, log, java) },
			Configure: func(ctx context.Context, folder, address string) (*subject.Setup, error) {
				return configureKeycloak(ctx, folder, address, nil)
			},
			ConfigureTLS: configureKeycloak,
		},
	}
}

func installKeycloak(ctx context.Context, log io.Writer, java javaServer) (string, error) {
	postgres, err := InstallPostgres(ctx, log)
	if err != nil {
		return "", err
	}
	err = java.install(ctx, func(ctx context.Context, folder string) error {
		fmt.Fprintln(log, "Keycloak: downloading it by Maven and building it for PostgreSQL, which takes a minute or two")
		if err := run(ctx, folder, "mvn", "-B", "-q", "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:unpack",
			"-Dartifact=org.keycloak:keycloak-quarkus-dist:"+keycloakVersion+":zip", "-DoutputDirectory="+folder); err != nil {
			return err
		}
		script, err := keycloakScript()
		if err != nil {
			return err
		}
		return run(ctx, folder, "sh", append([]string{script}, strings.Fields(keycloakBuild)...)...)
	})
	if err != nil {
		return "", err
	}
	version, err := javaVersion(ctx)
	return keycloakVersion + ", " + version + ", PostgreSQL " + postgres, err
}

// keycloakScript returns the path of the start script.
func keycloakScript() (string, error) {
	folder, err := cache("keycloak")
	return filepath.Join(folder, "keycloak-"+keycloakVersion, "bin", "kc.sh"), err
}

func configureKeycloak(ctx context.Context, folder, address string, certificates *subject.Certificates) (*subject.Setup, error) {
	script, err := keycloakScript()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(script); err != nil {
		return nil, err
	}
	db, err := NewDatabase(ctx, folder)
	if err != nil {
		return nil, err
	}
	c, err := newClient()
	if err != nil {
		return nil, err
	}
	listen, err := keycloakListener(address, certificates)
	if err != nil {
		return nil, err
	}
	base, admin := baseURL(address, certificates), &http.Client{Timeout: time.Minute}
	if certificates != nil {
		admin = certificates.Connections()[0].Client(time.Minute)
	}
	// The sizes of the pool and of the queue are those of its guide "Deploying Keycloak across multiple
	// availability zones with the Operator"; one node needs no cache that is distributed.
	command := program(ctx, "sh", append([]string{script, "start", "--optimized", "--cache=local", "--log-level=warn", "--hostname=" + base,
		"--db-url=" + db.jdbc(), "--db-username=bench", "--db-password=none",
		"--db-pool-initial-size=30", "--db-pool-min-size=30", "--db-pool-max-size=30", "--http-max-queued-requests=1000"}, listen...)...)
	command.Dir = folder
	secret := newSecret()
	command.Env = append(os.Environ(), "JAVA_OPTS_KC_HEAP="+keycloakHeap,
		"KC_BOOTSTRAP_ADMIN_CLIENT_ID="+keycloakAdmin, "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET="+secret)
	return &subject.Setup{
		Beside: []subject.Program{db.Program(ctx, nil)},
		Server: subject.Program{
			Command: command,
			Ready:   ready(base+"/realms/master", certificates),
			Prepare: func(ctx context.Context) error { return prepareKeycloak(ctx, admin, base, secret, c) },
		},
		Exchanges: keycloakExchanges(base+"/realms/"+keycloakRealm, c),
	}, nil
}

// keycloakListener returns the options for an address.
func keycloakListener(address string, certificates *subject.Certificates) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if certificates == nil {
		return []string{"--http-enabled=true", "--http-host=" + host, "--http-port=" + port}, err
	}
	return []string{"--http-host=" + host, "--https-port=" + port,
		"--https-certificate-file=" + certificates.Cert, "--https-certificate-key-file=" + certificates.Key}, err
}

func keycloakExchanges(issuer string, c *client) []subject.Exchange {
	exchange := subject.Exchange{
		Kind:   subject.ClientCredentialsES256,
		URL:    issuer + "/protocol/openid-connect/token",
		Header: form(),
		Body:   c.secretBody(nil),
		Keys:   issuer + "/protocol/openid-connect/certs",
		Alg:    "ES256",
	}
	bearer := exchange
	bearer.Kind, bearer.Note = subject.JWTBearerES256, "with the client's secret, which it requires; consumed assertions in memory"
	bearer.Body = c.bearerBody(keycloakIssuer, keycloakSubject, issuer, url.Values{"client_id": {c.ID}, "client_secret": {c.Secret}})
	byKey := exchange
	byKey.Kind, byKey.Note = subject.PrivateKeyJWTES256, "consumed assertions in memory"
	byKey.Body = c.keyBody(issuer, nil)
	return []subject.Exchange{exchange, bearer, byKey}
}

const (
	keycloakAdmin   = "bench-admin"
	keycloakIssuer  = "https://issuer.example" // of assertions
	keycloakSubject = "bench-subject"          // of assertions
)

// prepareKeycloak creates the realm by its admin API.
func prepareKeycloak(ctx context.Context, admin *http.Client, base, secret string, c *client) error {
	realm, err := writtenRealm(c)
	if err != nil {
		return err
	}
	granted := url.Values{"grant_type": {"client_credentials"}, "client_id": {keycloakAdmin}, "client_secret": {secret}}
	text, err := post(ctx, admin, base+"/realms/master/protocol/openid-connect/token", form(), []byte(granted.Encode()))
	if err != nil {
		return err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &token); err != nil {
		return err
	}
	_, err = post(ctx, admin, base+"/admin/realms", http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token.AccessToken}}, realm)
	return err
}

// writtenRealm returns a realm with a P-256 signing key, a client with a secret, one with a key, and
// the issuer of assertions whose subject is linked to a user.
func writtenRealm(c *client) ([]byte, error) {
	public, err := publicJWK(&c.Key.PublicKey, c.Kid)
	if err != nil {
		return nil, err
	}
	set := keySet(public)
	type object = map[string]any
	of := func(id, authenticator string, attributes map[string]string) object {
		return object{"clientId": id, "enabled": true, "publicClient": false, "clientAuthenticatorType": authenticator,
			"serviceAccountsEnabled": true, "standardFlowEnabled": false, "directAccessGrantsEnabled": false,
			"fullScopeAllowed": false, "attributes": attributes}
	}
	bySecret := of(c.ID, "client-secret", map[string]string{
		"oauth2.jwt.authorization.grant.enabled": "true", "oauth2.jwt.authorization.grant.idp": keycloakRealm})
	bySecret["secret"] = c.Secret
	byKey := of(c.KeyID, "client-jwt", map[string]string{
		"use.jwks.string": "true", "jwks.string": set, "token.endpoint.auth.signing.alg": "ES256"})
	return json.Marshal(object{
		"realm": keycloakRealm, "enabled": true, "defaultSignatureAlgorithm": "ES256",
		"components": object{"org.keycloak.keys.KeyProvider": []object{{"name": "ecdsa", "providerId": "ecdsa-generated",
			"config": map[string][]string{"ecdsaEllipticCurveKey": {"P-256"}, "priority": {"100"}}}}},
		"clients": []object{bySecret, byKey},
		"identityProviders": []object{{"alias": keycloakRealm, "providerId": "jwt-authorization-grant", "enabled": true,
			"config": map[string]string{"issuer": keycloakIssuer, "useJwksUrl": "false", "publicKeySignatureVerifier": set,
				"jwtAuthorizationGrantEnabled": "true", "jwtAuthorizationGrantAssertionSignatureAlg": "ES256"}}},
		"users": []object{{"username": keycloakSubject, "enabled": true, "federatedIdentities": []object{
			{"identityProvider": keycloakRealm, "userId": keycloakSubject, "userName": keycloakSubject}}}},
	})
}

// post sends a request and returns the body of its answer, which must be a 2xx.
func post(ctx context.Context, client *http.Client, page string, header http.Header, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, page, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // read only
	const most = 1 << 20
	answer, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("POST %s: %s: %.1000s", page, response.Status, answer)
	}
	return answer, err
}
