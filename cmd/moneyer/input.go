package main

import (
	"errors"
	"fmt"
	"io"
	"moneyer/internal/jose"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// mistake is an error in the form of a token, such as quotes around it.
type mistake struct{ found, fix string }

// byteOrderMark is what some editors write before UTF-8 text.
const byteOrderMark = "\ufeff"

// ends returns the blanks and line ends around a token, which repair removes without a
// word: a file usually ends in one, and a server refuses a parameter that does.
func ends(raw string) []mistake {
	var mistakes []mistake
	raw = strings.TrimPrefix(raw, byteOrderMark)
	if raw != strings.TrimLeftFunc(raw, unicode.IsSpace) {
		mistakes = append(mistakes, mistake{"blanks or line ends before it", "send it without"})
	}
	if text := strings.TrimRightFunc(raw, unicode.IsSpace); raw != text {
		mistakes = append(mistakes, mistake{fmt.Sprintf("%q after it", raw[len(text):]),
			`leave it out: curl --data-urlencode assertion@FILE sends it, too; "assertion=$(cat FILE)" does not`})
	}
	return mistakes
}

// repair removes what does not belong to a token, and returns what it removed.
func repair(raw string) (string, []mistake) {
	var mistakes []mistake
	token := strings.TrimSpace(raw)
	took := func(rest, found, fix string) {
		if rest != token {
			mistakes = append(mistakes, mistake{found, fix})
			token = rest
		}
	}
	took(strings.TrimSpace(strings.TrimPrefix(token, byteOrderMark)), "a byte order mark before it", "save the file as UTF-8 without one")
	unquoted := strings.Trim(token, `"'`)
	took(unquoted, "quotes around it", "send the bare text")
	bare := token
	for _, prefix := range []string{"authorization:", "bearer "} {
		if len(bare) >= len(prefix) && strings.EqualFold(bare[:len(prefix)], prefix) {
			bare = strings.TrimSpace(bare[len(prefix):])
		}
	}
	took(bare, `"Bearer " before it`, "that belongs in the Authorization header of an API call, not into the assertion")
	took(strings.Join(strings.Fields(token), ""), "blanks or line breaks inside", "send it as one line")
	took(strings.NewReplacer("+", "-", "/", "_").Replace(token), "base64 with + and /", "use the URL alphabet with - and _ (base64url, RFC 4648 section 5)")
	took(strings.ReplaceAll(token, "=", ""), "padding (=)", "leave it out: a JWS has none (RFC 7515 section 2)")
	return token, mistakes
}

// readArgument reads an argument that is a file, '-' for standard input, or the
// token or key itself. Errors do not repeat it: it may be a live token.
func (a *app) readArgument(arg string) ([]byte, error) {
	if arg == "-" {
		return a.readFile(arg)
	}
	data, err := a.readFile(arg)
	if err == nil {
		return data, nil
	}
	token, _ := repair(arg)
	if strings.HasPrefix(token, "eyJ") || strings.HasPrefix(token, "{") || strings.Count(token, ".") == 2 && len(token) > 32 {
		return []byte(arg), nil
	}
	return nil, usagef("the argument is neither a token nor a file that can be read (%w)", withoutPath(err))
}

// readToken reads an argument and repairs the token.
func (a *app) readToken(arg, purpose string) (token string, mistakes []mistake, err error) {
	raw, err := a.readArgument(arg)
	if err != nil {
		return "", nil, err
	}
	if token, mistakes = repair(string(raw)); token == "" {
		return "", nil, usagef("there is nothing to %s: the input is empty", purpose)
	}
	return token, mistakes, nil
}

// readAssertion is readToken for what is sent as it is: what stands around it is a
// mistake, too.
func (a *app) readAssertion(arg string) (string, []mistake, error) {
	raw, err := a.readArgument(arg)
	if err != nil {
		return "", nil, err
	}
	token, mistakes := repair(string(raw))
	if token == "" {
		return "", nil, usagef("there is nothing to explain: the input is empty")
	}
	return token, append(mistakes, ends(string(raw))...), nil
}

// maxInput bounds what is read from a file or standard input, in bytes: a list of
// revocations may be that long.
const maxInput = jose.MaxDocument + 1<<10

// openInput opens a file, or standard input when it is called '-'.
func (a *app) openInput(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.in), nil
	}
	return os.Open(name)
}

// readFile reads a small file, or standard input when it is called '-'.
func (a *app) readFile(name string) ([]byte, error) {
	in, err := a.openInput(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	if f, ok := a.in.(*os.File); ok && name == "-" && term.IsTerminal(int(f.Fd())) {
		a.note("reading from the terminal; end the input with Ctrl-D on a line of its own")
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fmt.Errorf("longer than %d bytes", maxInput)
	}
	return data, err
}

// withoutPath removes the file's name from an error.
func withoutPath(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// secretFlags say where a secret is: in a file or in the environment.
type secretFlags struct {
	name, file, env string
	// parse reads it from the content of either.
	parse func([]byte) (string, error)
}

func (f *secretFlags) add(c *cobra.Command, name, what string, parse func([]byte) (string, error)) {
	f.name, f.parse = name, parse
	c.Flags().StringVar(&f.file, name+"-file", "", "file that holds the "+what+" ('-' reads standard input)")
	c.Flags().StringVar(&f.env, name+"-env", "", "environment variable that holds the "+what)
	complete(c, name+"-env")
}

// trimLineEnds reads an assertion, which tokensource checks for itself.
func trimLineEnds(data []byte) (string, error) {
	text := strings.Trim(string(data), "\r\n")
	if text == "" {
		return "", errors.New("it is empty")
	}
	return text, nil
}

// readSecret reads a secret, which is empty when no flag names one. Errors do not repeat
// the flags' values: one may be the secret itself, by mistake.
func (a *app) readSecret(f *secretFlags) (string, error) {
	var data []byte
	flag := "--" + f.name + "-file"
	switch {
	case f.file != "" && f.env != "":
		return "", usagef("--%s-file and --%[1]s-env exclude each other", f.name)
	case f.file != "":
		var err error
		if data, err = a.readFile(f.file); err != nil {
			return "", usagef("%s names a file that holds it: %w", flag, withoutPath(err))
		}
	case f.env != "":
		flag = "--" + f.name + "-env"
		value, ok := os.LookupEnv(f.env)
		if !ok {
			return "", usagef("%s names an environment variable that holds it, and there is none of that name", flag)
		}
		data = []byte(value)
	default:
		return "", nil
	}
	secret, err := f.parse(data)
	if err != nil {
		return "", usagef("the %s that %s names cannot be used: %w", strings.ReplaceAll(f.name, "-", " "), flag, err)
	}
	return secret, nil
}
