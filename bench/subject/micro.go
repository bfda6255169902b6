package subject

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"os"
	"syscall"
	"time"
)

// Micro holds basic operations per second on one core; 0 if not measured.
type Micro struct {
	VerifyES256        float64 `json:"go_verify_es256_per_second"`
	SignES256          float64 `json:"go_sign_es256_per_second"`
	SignRS256          float64 `json:"go_sign_rs256_per_second"`
	OpenSSLVerifyES256 float64 `json:"openssl_verify_es256_per_second,omitempty"`
	OpenSSLSignES256   float64 `json:"openssl_sign_es256_per_second,omitempty"`
	OpenSSLSignRS256   float64 `json:"openssl_sign_rs256_per_second,omitempty"`
	// Fsync is the rate of sequential 4096-byte writes, each followed by fsync.
	Fsync float64 `json:"fsync_4k_per_second"`
}

// MeasureMicro measures each operation for a time, with files in folder. Run it in a process of its
// own, on one core.
func MeasureMicro(ctx context.Context, folder string, each time.Duration) (*Micro, error) {
	digest := sha256.Sum256([]byte("message"))
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signature, err := ecdsa.SignASN1(rand.Reader, ec, digest[:])
	if err != nil {
		return nil, err
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	m := &Micro{}
	var errs [4]error
	m.VerifyES256, errs[0] = rate(each, func() error {
		if !ecdsa.VerifyASN1(&ec.PublicKey, digest[:], signature) {
			return errSignature
		}
		return nil
	})
	m.SignES256, errs[1] = rate(each, func() error {
		_, err := ecdsa.SignASN1(rand.Reader, ec, digest[:])
		return err
	})
	m.SignRS256, errs[2] = rate(each, func() error {
		_, err := rsa.SignPKCS1v15(nil, rs, crypto.SHA256, digest[:])
		return err
	})
	m.Fsync, errs[3] = fsync(folder, each)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if each < 100*time.Millisecond {
		return m, nil // OpenSSL takes at least a second for each
	}
	return m, m.openSSL(ctx)
}

// rate returns how often do runs in a second of processor time, like OpenSSL's own figures: other
// work on the core does not change it.
func rate(each time.Duration, do func() error) (float64, error) {
	return rateBy(processorTime, each, do)
}

// processorTime returns the processor time of this process.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// rateBy returns how often do runs in a second of a clock.
func rateBy(clock func() time.Duration, each time.Duration, do func() error) (float64, error) {
	begin, count := clock(), 0
	for {
		for range 10 {
			if err := do(); err != nil {
				return 0, err
			}
		}
		count += 10
		if passed := clock() - begin; passed >= each && passed > 0 {
			return float64(count) / passed.Seconds(), nil
		}
	}
}

// fsync overwrites a file page by page and waits for the disk each time, like a restarted
// write-ahead log.
func fsync(folder string, each time.Duration) (float64, error) {
	file, err := os.CreateTemp(folder, "fsync-")
	if err != nil {
		return 0, err
	}
	page := make([]byte, 4096)
	var offset int64
	begin := time.Now()
	persecond, err := rateBy(func() time.Duration { return time.Since(begin) }, each, func() error {
		offset = (offset + int64(len(page))) % (4 << 20)
		if _, err := file.WriteAt(page, offset); err != nil {
			return err
		}
		return file.Sync()
	})
	return persecond, errors.Join(err, file.Close(), os.Remove(file.Name()))
}
