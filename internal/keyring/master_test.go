package keyring_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/keyring"
)

// bytes 0..31
const masterHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func TestParseMasterKey(t *testing.T) {
	data, _ := hex.DecodeString(masterHex)
	data[0] = 0xfb // gives a - or + in base64
	for _, text := range []string{
		hex.EncodeToString(data),
		strings.ToUpper(hex.EncodeToString(data)) + "\r\n",
		base64.StdEncoding.EncodeToString(data),
		base64.RawStdEncoding.EncodeToString(data),
		base64.URLEncoding.EncodeToString(data),
		base64.RawURLEncoding.EncodeToString(data) + "\n",
	} {
		m, err := keyring.ParseMasterKey(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if want := base64.RawURLEncoding.EncodeToString(data); m.Text() != want {
			t.Errorf("%q: is %s, want %s", text, m.Text(), want)
		}
	}
	for _, text := range []string{
		"", "secret", masterHex[:62], masterHex + "00", masterHex[:63] + "g",
		base64.StdEncoding.EncodeToString(data) + "=",
		strings.Repeat("A", 42) + "B", // non-zero bits after the last byte
		strings.Repeat("0", 64),
		strings.Repeat("A", 43),
	} {
		_, err := keyring.ParseMasterKey(text)
		wantText(t, err, "a master key is")
		if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error quotes the key: %v", err)
		}
	}
}

// What an editor or a wrong encoding adds to a master key is named.
func TestMasterKeyWithMoreBesideIt(t *testing.T) {
	for text, want := range map[string]string{
		"\ufeff" + masterHex + "\n":              "byte order mark",
		"\xff\xfe" + strings.Repeat("0\x00", 64): "UTF-16",
		masterHex + "\x00":                       "NUL",
		masterHex + " \n":                        "blank",
		masterHex + "\n" + masterHex:             "more than one line",
		"\n":                                     "empty",
		string([]byte{0x91, 31: 0x80}):           "NUL",
		strings.Repeat("\x91\xff", 16):           "not UTF-8",
	} {
		_, err := keyring.ParseMasterKey(text)
		wantText(t, err, want)
	}
}

// The values were computed with Python's hmac as in RFC 5869, and with OpenSSL. If they changed,
// existing stores could not be read.
func TestDerivedKeysStayTheSame(t *testing.T) {
	m, err := keyring.ParseMasterKey(masterHex)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(m.Pepper()), "994b1b471336c6de787eedbe0958d05cc4e08334c60f8389d5d909cece11b55f"; got != want {
		t.Errorf("pepper %s, want %s", got, want)
	}
	check, _ := base64.RawURLEncoding.DecodeString(m.Check())
	if got, want := hex.EncodeToString(check), "c497b6f010449b4beaf5eb6482ec0c3e"; got != want {
		t.Errorf("check %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(m.HeadKey()), "3641ec1a7b7cd832b2c0cb9c2f1a39d5b43a183deb935031480d6a5deea8af1c"; got != want {
		t.Errorf("head key %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(m.SessionKey()), "cef1850fb7830687b9ef2b8d2623c3d35ffe23e18f9dfc64c1912fd4d00c6134"; got != want {
		t.Errorf("session key %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(m.CheckpointKey()), "e15f6f677bb40d31a80af9354d63122d0f9249c4f967c63c9646ba3ff9a32606"; got != want {
		t.Errorf("checkpoint key %s, want %s", got, want)
	}
}

func TestCheckpointSignatures(t *testing.T) {
	a, b := newMaster(t), newMaster(t)
	message := []byte("heads")
	signature, err := a.SignCheckpoint(message)
	if err != nil || !ed25519.Verify(a.CheckpointKey(), message, signature) {
		t.Errorf("signature %x, %v", signature, err)
	}
	if ed25519.Verify(b.CheckpointKey(), message, signature) || ed25519.Verify(a.CheckpointKey(), message[1:], signature) {
		t.Error("the signature verifies under another key or for another message")
	}
	clear(a.CheckpointKey())
	if again, err := a.SignCheckpoint(message); err != nil || !bytes.Equal(again, signature) {
		t.Errorf("changing the returned public key changed the signing key: %v", err)
	}
}

func TestMasterKeysDiffer(t *testing.T) {
	a, b := newMaster(t), newMaster(t)
	if a.Text() == b.Text() || a.Check() == b.Check() || bytes.Equal(a.Pepper(), b.Pepper()) {
		t.Error("two new master keys have something in common")
	}
}

func TestMasterKeyDoesNotPrint(t *testing.T) {
	m, err := keyring.ParseMasterKey(masterHex)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", m, "value", *m)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", m, "value", *m)
	text, _ := json.Marshal(m) //nolint:staticcheck // that it says nothing is what is tested
	printed := log.String() + string(text) + fmt.Sprintf("%v %+v %#v %x %s %d %v %x %d", m, m, m, m, m, m, *m, *m, *m)
	for _, secret := range []string{m.Text(), "0001020304", "[0 1 2 3", "0x1, 0x2", "4 5 6 7"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%q is in %s", secret, printed)
		}
	}
}

func TestReadMasterKey(t *testing.T) {
	m, err := keyring.ReadMasterKey(writeFile(t, masterHex+"\n", 0o400))
	if err != nil || m.Text() == "" {
		t.Errorf("%v", err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601, 0o644} {
		path := writeFile(t, masterHex, mode)
		_, err = keyring.ReadMasterKey(path)
		wantText(t, err, "chmod 600 "+path)
		wantText(t, err, fmt.Sprintf("%04o", mode))
	}
	path := writeFile(t, "hunter2", 0o600)
	_, err = keyring.ReadMasterKey(path)
	wantText(t, err, path)
	_, err = keyring.ReadMasterKey("/nonexistent")
	wantIs(t, err, os.ErrNotExist)
	_, err = keyring.ReadMasterKey(t.TempDir())
	if err == nil {
		t.Error("read a directory")
	}
}

// TestOpenReadsRegularFilesAlone: a pipe without a writer does not hang, and a device is not
// read.
func TestOpenReadsRegularFilesAlone(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{fifo, "/dev/zero", "/dev/null", t.TempDir()} {
		done := make(chan error, 1)
		go func() {
			_, err := keyring.Open("file:" + path)
			_, master := keyring.ReadMasterKey(path)
			done <- errors.Join(err, master)
		}()
		select {
		case err := <-done:
			wantText(t, err, "not a regular file")
			var file *keyring.FileError
			if !errors.As(err, &file) {
				t.Errorf("%s: %v is no FileError", path, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: opening hangs", path)
		}
	}
}

func TestOpen(t *testing.T) {
	path, pem := keyFile(t, jose.ES256)
	for _, uri := range []string{"file:" + path, "file://" + path} {
		if _, err := keyring.Open(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	jwk := writeFile(t, `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",`+
		`"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, 0o600) // RFC 8037 appendix A.1
	if _, err := keyring.Open("file:" + jwk); err != nil {
		t.Error(err)
	}
	for mode, refused := range map[os.FileMode]bool{0o400: false, 0o440: false, 0o640: false, 0o660: true, 0o604: true, 0o602: true, 0o650: true, 0o641: true} {
		_, err := keyring.Open("file:" + writeFile(t, pem, mode))
		if refused {
			wantText(t, err, "chmod 600")
		} else if err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	open := writeFile(t, pem, 0o644)
	directory := t.TempDir()
	if err := os.Chmod(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	for uri, says := range map[string]string{
		"":                                      "URI such as file:PATH",
		path:                                    "URI such as file:PATH",
		"pkcs11:pin-value=s3cret":               `no signer by scheme "pkcs11"; known are: file`,
		"file://host/key":                       "another host",
		"file:/nonexistent":                     "no such file",
		"file:" + open:                          "chmod 600 " + open,
		"file:" + directory:                     "not a regular file",
		"file:" + writeFile(t, "no key", 0o600): "neither a PEM block nor a JWK",
		"file:" + writeFile(t, strings.Repeat("x", 64<<10+1), 0o600): "longer than",
	} {
		_, err := keyring.Open(uri)
		wantText(t, err, says)
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error shows the PIN: %v", err)
		}
	}
}
