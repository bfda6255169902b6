package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"moneyer/bench/subject"
)

// spring is Spring Authorization Server with its defaults: in memory, one thread per request.
func spring() peer {
	return peer{
		installed: func() error {
			java, err := springServer()
			return errors.Join(err, java.installed())
		},
		Server: subject.Server{
			Name:   "Spring Authorization Server",
			Keeps:  "nothing (every token in a map, which grows)",
			WarmUp: javaWarmUp,
			Cannot: map[subject.Kind]string{
				subject.ClientCredentialsRS256: "set up with one key, ES256",
				subject.JWTBearerES256:         "no such grant",
			},
			Install:   installSpring,
			Configure: configureSpring,
		},
	}
}

// springFiles are what the program is built from.
var springFiles = []string{"pom.xml", filepath.Join("src", "main", "java", "bench", "Server.java")}

// springServer is installed again when one of its files changes.
func springServer() (javaServer, error) {
	folder, err := source("spring")
	if err != nil {
		return javaServer{}, err
	}
	var all []byte
	for _, name := range springFiles {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return javaServer{}, err
		}
		all = append(all, text...)
	}
	return javaServer{name: "spring", stamp: string(all)}, nil
}

func installSpring(ctx context.Context, log io.Writer) (string, error) {
	java, err := springServer()
	if err != nil {
		return "", err
	}
	from, err := source("spring")
	if err != nil {
		return "", err
	}
	err = java.install(ctx, func(ctx context.Context, folder string) error {
		fmt.Fprintln(log, "Spring Authorization Server: building it by Maven; the first time may take a minute")
		if err := run(ctx, from, "mvn", "-B", "-q", "package", "-Doutput="+folder); err != nil {
			return err
		}
		// As its guide to deployment recommends: a program with its libraries beside it starts faster.
		return run(ctx, folder, "java", "-Djarmode=tools", "-jar", "server.jar", "extract", "--destination", "program")
	})
	if err != nil {
		return "", err
	}
	version, err := springVersion()
	if err != nil {
		return "", err
	}
	javaIs, err := javaVersion(ctx)
	return version + ", " + javaIs, err
}

// springLibrary begins the file name of the library, which ends with its version.
const springLibrary = "spring-security-oauth2-authorization-server-"

// springVersion returns the version of the library.
func springVersion() (string, error) {
	folder, err := cache("spring")
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(folder, "program", "lib", springLibrary+"*.jar"))
	if err != nil || len(found) != 1 {
		return "", errors.Join(err, fmt.Errorf("%d files %s*.jar", len(found), springLibrary))
	}
	name := []byte(filepath.Base(found[0]))
	return string(bytes.TrimSuffix(bytes.TrimPrefix(name, []byte(springLibrary)), []byte(".jar"))), nil
}

func configureSpring(ctx context.Context, folder, address string) (*subject.Setup, error) {
	installed, err := cache("spring")
	if err != nil {
		return nil, err
	}
	c, err := newClient()
	if err != nil {
		return nil, err
	}
	key, err := newECKey("es256")
	if err != nil {
		return nil, err
	}
	issuer := "http://" + address
	file, err := c.writeConfig(folder, address, issuer, nil, key)
	if err != nil {
		return nil, err
	}
	exchange := subject.Exchange{
		Kind:   subject.ClientCredentialsES256,
		Note:   "secret compared as it is instead of its default, bcrypt",
		URL:    issuer + "/oauth2/token",
		Header: form(),
		Body:   c.secretBody(nil),
		Keys:   issuer + "/oauth2/jwks",
		Alg:    "ES256",
	}
	byKey := exchange
	byKey.Kind, byKey.Note = subject.PrivateKeyJWTES256, "no replay check"
	byKey.Body = c.keyBody(issuer, nil)
	command := program(ctx, "java", "-jar", filepath.Join(installed, "program", "server.jar"), file)
	command.Dir = folder
	return &subject.Setup{
		Server:    subject.Program{Command: command, Ready: subject.Answers(exchange.Keys)},
		Exchanges: []subject.Exchange{exchange, byKey, c.introspect(exchange, issuer+"/oauth2/introspect")},
	}, nil
}
