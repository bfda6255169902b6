//go:build openssl

package openssl

/*
#cgo LDFLAGS: -lcrypto
#cgo noescape moneyer_sign
#cgo nocallback moneyer_sign

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3.0 or newer is needed"
#endif

// Returns a context that signs SHA-256 digests, or NULL. It holds the only
// reference to its key, so contexts share no state.
static EVP_PKEY_CTX *moneyer_context(const unsigned char *der, long size, int padding) {
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &der, size);
	EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	EVP_PKEY_free(key);
	if (ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
	    (padding == 0 || EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1) &&
	    (padding != RSA_PKCS1_PSS_PADDING || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1))
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return NULL;
}

// Returns 0 or an error code. OpenSSL queues errors per thread, and the next call
// may run on another thread, so the queue is emptied here.
static unsigned long moneyer_sign(EVP_PKEY_CTX *ctx, const unsigned char *digest, unsigned char *sig, size_t *size) {
	if (EVP_PKEY_sign(ctx, sig, size, digest, 32) == 1)
		return 0;
	unsigned long why = ERR_peek_last_error();
	ERR_clear_error();
	return why == 0 ? ERR_PACK(ERR_LIB_EVP, 0, ERR_R_INTERNAL_ERROR) : why;
}
*/
import "C"

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"runtime"
	"unsafe"
)

// maxP256 is the length of the longest signature of P-256 in DER.
const maxP256 = 72

// pssSalt is the salt length of PS256 in bytes (RFC 7518 section 3.5).
const pssSalt = sha256.Size

// Enabled reports whether this process signs with OpenSSL: it does not if Go runs in FIPS 140 mode.
func Enabled() bool { return !fips140.Enabled() }

// Library returns the name and version of the library that signs.
func Library() string {
	if !Enabled() {
		return goVersion()
	}
	return "OpenSSL " + C.GoString(C.OpenSSL_version(C.OPENSSL_VERSION_STRING))
}

// Signer returns a signer for SHA-256 digests with opts that uses OpenSSL instead of Go. It returns
// key itself if key is not a P-256 or RSA key in memory (a hardware key stays in place), if OpenSSL
// refuses the key, or if Go runs in FIPS 140 mode.
func Signer(key crypto.Signer, opts crypto.SignerOpts) crypto.Signer {
	s := &signer{key: key}
	switch private := key.(type) {
	case *ecdsa.PrivateKey:
		if private.Curve != elliptic.P256() {
			return key
		}
		s.size = maxP256
	case *rsa.PrivateKey:
		s.size, s.padding = private.Size(), paddingOf(opts)
		if s.padding == 0 {
			return key
		}
	default:
		return key
	}
	if !Enabled() {
		return key
	}
	first := s.newContext()
	if first == nil {
		return key
	}
	s.contexts = make(chan *keyContext, runtime.GOMAXPROCS(0))
	s.contexts <- first
	for range cap(s.contexts) - 1 {
		s.contexts <- nil
	}
	return s
}

// paddingOf returns the OpenSSL padding for opts with an RSA key, or 0 if this package does not
// support them.
func paddingOf(opts crypto.SignerOpts) C.int {
	if opts.HashFunc() != crypto.SHA256 {
		return 0
	}
	pss, ok := opts.(*rsa.PSSOptions)
	switch {
	case !ok:
		return C.RSA_PKCS1_PADDING
	case pss.SaltLength == rsa.PSSSaltLengthEqualsHash || pss.SaltLength == pssSalt:
		return C.RSA_PKCS1_PSS_PADDING
	default:
		return 0
	}
}

// signer signs with a pool of initialized contexts: in OpenSSL 3 the initialization takes up to a
// tenth of the time of a P-256 signature. There is one context for each GOMAXPROCS: more concurrent
// signatures would have no processor, and more goroutines in C only mean more threads. A nil entry
// is a context that is created on first use.
type signer struct {
	key      crypto.Signer
	padding  C.int // 0 for P-256
	size     int   // length of a signature: exact for RSA, maximum for P-256
	contexts chan *keyContext
}

// keyContext owns one context, which is freed when the keyContext is garbage collected. The signer
// field makes it large enough not to share an allocation with other tiny objects, which would keep
// it alive.
type keyContext struct {
	ctx *C.EVP_PKEY_CTX
	_   *signer
}

// newContext returns nil if OpenSSL refuses the key.
func (s *signer) newContext() *keyContext {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil
	}
	defer clear(der)
	ctx := C.moneyer_context((*C.uchar)(unsafe.SliceData(der)), C.long(len(der)), s.padding)
	if ctx == nil {
		return nil
	}
	c := &keyContext{ctx: ctx}
	runtime.AddCleanup(c, func(ctx *C.EVP_PKEY_CTX) { C.EVP_PKEY_CTX_free(ctx) }, ctx)
	return c
}

func (s *signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign signs like the key. Anything for which the contexts were not initialized is passed to the
// key, as is ECDSA without a random source (RFC 6979).
func (s *signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	fits := len(digest) == sha256.Size && opts != nil && opts.HashFunc() == crypto.SHA256
	if s.padding == 0 {
		fits = fits && random != nil
	} else {
		fits = fits && paddingOf(opts) == s.padding
	}
	if !fits {
		return s.key.Sign(random, digest, opts)
	}
	sig := make([]byte, s.size)
	n := C.size_t(len(sig))
	c := <-s.contexts
	if c == nil {
		c = s.newContext()
	}
	if c == nil {
		s.contexts <- nil
		return nil, errors.New("openssl: no memory for a signature")
	}
	why := C.moneyer_sign(c.ctx, (*C.uchar)(unsafe.SliceData(digest)), (*C.uchar)(unsafe.SliceData(sig)), &n)
	s.contexts <- c // this also keeps c from being freed during the call
	if why != 0 {
		return nil, fmt.Errorf("openssl: error %X: %s", uint64(why), C.GoString(C.ERR_reason_error_string(why)))
	}
	if s.padding != 0 && int(n) != s.size {
		return nil, fmt.Errorf("openssl: an RSA signature of %d bytes, want %d", int(n), s.size)
	}
	return sig[:n], nil
}
