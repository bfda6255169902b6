package assertion_test

import (
	"fmt"
	"log"
	"strings"
	"time"

	"moneyer/assertion"
)

// A client signs an assertion that is good for three minutes.
func Example() {
	key, err := assertion.GenerateKey("ES256")
	if err != nil {
		log.Fatal(err)
	}
	signer, err := assertion.NewSigner(key, "", "key-1", "")
	if err != nil {
		log.Fatal(err)
	}
	now := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC) // time.Now() in a program
	token, err := signer.Sign(assertion.Assertion{
		Issuer:   "example-bank",
		Audience: []string{"https://issuer.example"},
		ID:       assertion.NewID(),
		IssuedAt: now,
		Expiry:   now.Add(3 * time.Minute),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signer.Alg(), strings.Count(token, "."))
	// Output: ES256 2
}
