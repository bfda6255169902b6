package store

import (
	"context"
	"time"
)

const (
	// warmPage is how many clients warm reads at once.
	warmPage = 256
	// warmRest is how long warm rests after a page, in the time that the page took:
	// it leaves three quarters of a processor to requests.
	warmRest = 3
)

// warm reads all clients that there is room for into the cache, so that no request
// waits for its client's first read, of which there are a million where there are a
// million clients. What it cannot read the requests will find out.
func (d *DB) warm(ctx context.Context) {
	var last named
	for {
		began, epochs, read := d.now(), d.cache.clients.epochs(), 0
		err := d.reads.List(ctx, `SELECT document FROM client WHERE (issuer, id) > ($1, $2) ORDER BY issuer, id LIMIT $3`,
			[]any{last.issuer, last.id, warmPage},
			func(scan func(...any) error) error {
				var document []byte
				if err := scan(&document); err != nil {
					return err
				}
				c, err := readClient(document)
				if err != nil {
					return err
				}
				last, read = named{c.Issuer, c.ID}, read+1
				d.cache.clients.add(last, c, &epochs)
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
