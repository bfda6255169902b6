package tlsfiles

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Sessions is how a listener resumes sessions of TLS 1.3 (RFC 8446 section 2.2), without any state: the keys
// of its tickets are derived from Secret, so that each replica resumes what another began.
//
// The key of a ticket is bound to the listener, its certificate and private key, the authorities and demand of
// client certificates, and to the period of sessionPeriod in which the session's full handshake was: when any
// of them changes, the next handshake is a full one. A session that is resumed again and again stays in the
// period of its full handshake and ends with it. A thief of Secret alone can make no tickets, since the
// listener's private key is part of their keys.
//
// Sessions of TLS 1.2 are resumed by the same process alone, under random keys of crypto/tls: their tickets
// hold the key of the connection, which whoever gets Secret later must not be able to read.
type Sessions struct {
	// Secret has 32 random bytes that only the replicas of one server know.
	Secret []byte
	// Listener keeps the sessions of one listener from another.
	Listener string
	// Now is the clock that ends sessions and certificates.
	Now func() time.Time
}

const (
	// sessionPeriod is how long the key of one period begins sessions.
	sessionPeriod = 12 * time.Hour
	// sessionPeriods is in how many periods a session may be resumed, that of its full handshake included: it
	// ends between 24 and 36 hours after that handshake.
	sessionPeriods = 3
	// periodSize is how many bytes of a ticket number the period. They are followed by the sealed session.
	periodSize = 4
)

// Listener returns the configuration of a listener that asks current for the loaded files at each
// handshake.
func Listener(current func() *Loaded, s Sessions) *tls.Config {
	config := serverConfig()
	var kept atomic.Pointer[epoch]
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		loaded, period := current(), uint32(s.Now().Unix()/int64(sessionPeriod/time.Second))
		e := kept.Load()
		if e == nil || e.loaded != loaded || e.period != period {
			var err error
			if e, err = s.epoch(loaded, period); err != nil {
				return nil, err
			}
			kept.Store(e)
		}
		return e.configFor(hello), nil
	}
	return config
}

// epoch is what a listener uses while its files and the period stay the same.
type epoch struct {
	loaded *Loaded
	period uint32
	// keys seal the sessions of this period, of the one before, and so on.
	keys [sessionPeriods]cipher.AEAD
	// config is for clients that offer no session of TLS 1.3.
	config *tls.Config
}

func (s Sessions) epoch(loaded *Loaded, period uint32) (*epoch, error) {
	e := &epoch{loaded: loaded, period: period}
	for i := range e.keys {
		key, err := hkdf.Expand(sha256.New, s.Secret, s.info(loaded, period-uint32(i)), 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if e.keys[i], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	}
	e.config = loaded.Config.Clone()
	e.config.Time = s.Now
	e.resume(e.config, false)
	return e, nil
}

// info names the key of a period (RFC 5869 section 3.2).
func (s Sessions) info(loaded *Loaded, period uint32) string {
	digest := sha256.New()
	for _, part := range []string{s.Listener, loaded.held.Cert, loaded.held.Key, loaded.Config.ClientAuth.String(), loaded.held.ClientCA} {
		_, _ = fmt.Fprintf(digest, "%d:%s", len(part), part)
	}
	return fmt.Sprintf("moneyer session ticket v1 %x %d", digest.Sum(nil), period)
}

// preSharedKey is the extension by which a client offers sessions (RFC 8446 section 4.2).
const preSharedKey = 41

// configFor returns the configuration for a handshake. Where the client offers a session it is one of its own,
// which carries the period from the old session to the next ticket.
func (e *epoch) configFor(hello *tls.ClientHelloInfo) *tls.Config {
	if !slices.Contains(hello.Extensions, preSharedKey) {
		return e.config
	}
	config := e.config.Clone()
	e.resume(config, true)
	return config
}

// resume has a configuration begin sessions and resume those of TLS 1.2, and if one is offered, of TLS 1.3: then
// the configuration serves that connection only. A client that offers a session only after a HelloRetryRequest
// makes a full handshake.
func (e *epoch) resume(config *tls.Config, offered bool) {
	began, legacy := e.period, e.loaded.legacy
	config.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (session *tls.SessionState, err error) {
		if state.Version != tls.VersionTLS13 {
			return legacy.DecryptTicket(ticket, state)
		}
		if offered {
			session, began = e.open(ticket)
		}
		return session, nil
	}
	config.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		switch {
		case state.Version != tls.VersionTLS13:
			return legacy.EncryptTicket(state, session)
		case state.DidResume:
			return e.seal(began, session)
		}
		return e.seal(e.period, session)
	}
}

// seal makes the ticket of a session whose full handshake was in a period that is accepted.
func (e *epoch) seal(period uint32, session *tls.SessionState) ([]byte, error) {
	plain, err := session.Bytes()
	if err != nil {
		return nil, err
	}
	ticket := binary.BigEndian.AppendUint32(make([]byte, 0, periodSize+len(plain)+28), period)
	return e.keys[e.period-period].Seal(ticket, nil, plain, nil), nil
}

// open returns the session of a ticket and its period; nil if the ticket is not one of an accepted period,
// whose client then makes a full handshake.
func (e *epoch) open(ticket []byte) (*tls.SessionState, uint32) {
	if len(ticket) < periodSize {
		return nil, 0
	}
	period := binary.BigEndian.Uint32(ticket)
	if age := e.period - period; age >= sessionPeriods {
		return nil, 0
	}
	plain, err := e.keys[e.period-period].Open(nil, nil, ticket[periodSize:], nil)
	if err != nil {
		return nil, 0
	}
	session, err := tls.ParseSessionState(plain)
	if err != nil {
		return nil, 0
	}
	return session, period
}
