package store

import (
	"context"
	"time"

	"moneyer/internal/registry"
)

const (
	// warmPage is how many clients warm reads at once.
	warmPage = 256
	// warmRest is the pause after a page, as a multiple of the time that the page took:
	// it leaves three quarters of a processor to requests.
	warmRest = 3
)

// warm reads clients into the cache until all are cached or it is full, so that requests do
// not wait for the first read of their client. It stops at an error, which a request will
// report.
func (d *DB) warm(ctx context.Context) {
	var last named
	for {
		began, epochs, read := d.now(), d.cache.clients.epochs(), 0
		err := d.reads.List(ctx, `SELECT issuer, id, revision, document, mac FROM client WHERE (issuer, id) > ($1, $2) ORDER BY issuer, id LIMIT $3`,
			[]any{last.issuer, last.id, warmPage},
			func(scan func(...any) error) error {
				var revision int64
				var document, mac []byte
				if err := scan(&last.issuer, &last.id, &revision, &document, &mac); err != nil {
					return err
				}
				read++
				c, err := decode[registry.Client](d.rows, clientRow(last.issuer, last.id, revision, document), mac)
				if err == nil { // a request for the client reports the error
					c.ShareTexts()
					d.cache.clients.add(named{c.Issuer, c.ID}, c, &epochs)
				}
				return nil
			})
		if err != nil || read < warmPage {
			return
		}
		rest := time.NewTimer(warmRest * d.now().Sub(began))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return
		}
	}
}
