package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// connectTimeout bounds the connection to one host, unless the URL sets
	// connect_timeout. It is enough for a round trip of 500 ms.
	connectTimeout = 1500 * time.Millisecond
	// writeTimeout bounds a statement of the writer. It is shorter than the timeout of a
	// request.
	writeTimeout = 1500 * time.Millisecond
	// backgroundTimeout bounds a write that no request waits for.
	backgroundTimeout = 5 * time.Second
	// defaultPool is the size of the read pool, unless the URL sets pool_max_conns.
	defaultPool = 8
)

// URL is the parsed URL of a store.
type URL struct {
	config *pgx.ConnConfig
	pool   int
}

// Parse reads a URL as libpq does, with three additional rules: it must not hold a
// password, every host that is not loopback requires TLS with a verified certificate, and
// of several hosts the one that takes writes is used. pool_max_conns bounds the read pool.
func Parse(text string) (*URL, error) {
	u, hosts, err := splitHosts(text)
	if err != nil {
		return nil, err
	}
	if _, set := u.User.Password(); set || u.Query().Has("password") {
		return nil, errors.New("the store's URL holds a password: put it into a file that the URL names by passfile=, or into the environment as PGPASSWORD")
	}
	p := &URL{pool: defaultPool}
	query := u.Query()
	if err := addHosts(query, hosts); err != nil {
		return nil, err
	}
	if text := query.Get("pool_max_conns"); text != "" {
		if p.pool, err = strconv.Atoi(text); err != nil || p.pool < 2 || p.pool > 1000 {
			return nil, fmt.Errorf("pool_max_conns in the store's URL is %q, and must be a number from 2 to 1000", text)
		}
		query.Del("pool_max_conns")
	}
	if !query.Has("target_session_attrs") {
		query.Set("target_session_attrs", "read-write")
	}
	u.RawQuery = query.Encode()
	if p.config, err = pgx.ParseConfig(u.String()); err != nil {
		_, what, _ := strings.Cut(err.Error(), "`: ") // the URL comes before it
		return nil, fmt.Errorf("the URL of the store: %s", what)
	}
	if p.config.ConnectTimeout == 0 || !query.Has("connect_timeout") {
		p.config.ConnectTimeout = connectTimeout
	}
	p.config.LookupFunc = lookupWithin(p.config.ConnectTimeout, p.config.LookupFunc)
	p.config.RuntimeParams["application_name"] = "moneyer"
	return p, p.checkTLS()
}

// lookupWithin bounds the DNS lookup of a host, which the driver does not: a name that is
// not answered must not delay the other hosts.
func lookupWithin(limit time.Duration, lookup pgconn.LookupFunc) pgconn.LookupFunc {
	return func(ctx context.Context, host string) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return lookup(ctx, host)
	}
}

func (p *URL) checkTLS() error {
	hosts := append([]*pgconn.FallbackConfig{{Host: p.config.Host, TLSConfig: p.config.TLSConfig}}, p.config.Fallbacks...)
	for _, h := range hosts {
		if !isVerified(h.TLSConfig) && !isLocal(h.Host) {
			return fmt.Errorf("the store's host %s is not on this machine: say sslmode=verify-full in the URL, and sslrootcert= if its certificate is of your own making", h.Host)
		}
	}
	return nil
}

// isVerified reports whether TLS verifies the server: its name and certificate
// (verify-full), or only that an authority of the operator's own issued the certificate
// (verify-ca with sslrootcert). A public authority issues one to anybody.
func isVerified(c *tls.Config) bool {
	switch {
	case c == nil:
		return false
	case !c.InsecureSkipVerify: // verify-full
		return true
	}
	return c.RootCAs != nil && (c.VerifyPeerCertificate != nil || c.VerifyConnection != nil)
}

// isLocal reports whether host is loopback or a socket in the file system.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasPrefix(host, "/") || err == nil && addr.IsLoopback()
}

// Name returns the URL of a PostgreSQL store without secrets.
func Name(text string) string {
	u, hosts, err := splitHosts(text)
	if err != nil {
		return "postgres"
	}
	return u.Scheme + "://" + hosts + u.Path
}

// errMalformed quotes nothing of the URL, because any part of it may be a password.
var errMalformed = errors.New("the URL of the store is malformed: percent-encode reserved characters, such as / ? # @ in a name")

// splitHosts parses a URL without its hosts: package url does not accept a list of hosts.
func splitHosts(text string) (u *url.URL, hosts string, err error) {
	scheme, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	user := strings.LastIndex(rest[:end], "@") + 1
	u, err = url.Parse(scheme + "://" + rest[:user] + rest[end:])
	if err != nil || u.Fragment != "" || strings.Contains(u.EscapedPath(), "@") {
		return nil, "", errMalformed
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, "", errMalformed
	}
	for key := range query {
		if strings.Contains(key, "@") {
			return nil, "", errMalformed
		}
	}
	return u, rest[user:end], nil
}

// addHosts adds the hosts of a URL to its parameters, unless they name others.
func addHosts(query url.Values, text string) error {
	if text == "" || query.Has("host") {
		return nil
	}
	var hosts, ports []string
	anyNamed := false
	for host := range strings.SplitSeq(text, ",") {
		port, named := "5432", false
		if i := strings.LastIndex(host, ":"); i > strings.LastIndex(host, "]") {
			host, port, named = host[:i], host[i+1:], true
		}
		host, err := url.PathUnescape(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		if _, badPort := strconv.ParseUint(port, 10, 16); err != nil || badPort != nil || host == "" {
			return errMalformed
		}
		hosts, ports, anyNamed = append(hosts, host), append(ports, port), anyNamed || named
	}
	query.Set("host", strings.Join(hosts, ","))
	if anyNamed && !query.Has("port") { // else PGPORT has its say
		query.Set("port", strings.Join(ports, ","))
	}
	return nil
}

// dial opens a connection of the writer or the feed. warned is set when the server
// warns of anything, such as a commit that did not reach the standbys.
func (p *URL) dial(ctx context.Context, settings map[string]string) (conn *pgx.Conn, warned *atomic.Bool, err error) {
	config := p.config.Copy()
	for name, value := range settings {
		config.RuntimeParams[name] = value
	}
	withoutCancel(config, func(c net.Conn) net.Conn { return deadlineConn{c} })
	warned = &atomic.Bool{}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			warned.Store(true)
		}
	}
	if conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, nil, unavailable(err)
	}
	return conn, warned, nil
}

// withoutCancel has no statement cancelled on the one connection that is made of
// config: a backend that waits for its standbys answers a cancel as if the commit had
// reached them. What was given up on ends with its connection.
func withoutCancel(config *pgx.ConnConfig, wrap func(net.Conn) net.Conn) {
	var open atomic.Bool
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if open.Load() { // it would be to cancel
			return nil, errors.New("nothing is cancelled")
		}
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return wrap(c), nil
	}
	config.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		open.Store(true)
		return nil
	}
}

// deadlineConn is a connection that fails when the other side sends nothing for too long.
type deadlineConn struct{ net.Conn }

func (c deadlineConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(deadline()); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c deadlineConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(deadline()); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// deadline is one of the network, which knows no other clock than the machine's.
func deadline() time.Time { return time.Now().Add(writeTimeout) } //nolint:forbidigo // see above

// unavailable puts what the driver says of each host on one line.
func unavailable(err error) error {
	return &brokenError{errors.New(strings.Join(strings.Fields(err.Error()), " "))}
}

// brokenError means that the connection is of no use any more.
type brokenError struct{ cause error }

func (b *brokenError) Error() string { return "the database cannot be reached: " + b.cause.Error() }
func (b *brokenError) Unwrap() error { return b.cause }
