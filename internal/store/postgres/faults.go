package postgres

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// errUsurped: another replica goes on with the chain, because this one seemed dead.
	errChainTaken = errors.New("another replica has taken the chain")
	// ErrWentBack means that the database lost what it had acknowledged, as one does that fails over
	// to a standby for which no commit waited. Among it may be that an assertion was used, so
	// nothing more is written until somebody has seen to it and started the program again.
	ErrRolledBack = errors.New("the database lost entries of the ledger that it had acknowledged: find out what failed over, or was restored, and start this replica again")
	// errNoChain: the database failed over, or was restored, to before the chain was begun.
	errNoChain = errors.New("the chain of the ledger is gone")
	// errNotReplicated: the server was told to stop waiting for its standbys.
	errNotReplicated = errors.New("the database warned that the commit may not have reached its standbys")
	// errChainBroken: the row of the chain cannot be what this program wrote.
	errChainBroken = errors.New("the end of the ledger's chain is broken")
)

// isLost reports whether err is that a connection is no more. One that cannot be made
// is another matter: to try that again at once would only add to its load.
func isLost(err error) bool {
	var refused *pgconn.PgError
	var dialed *pgconn.ConnectError
	if errors.As(err, &dialed) {
		return false
	}
	if errors.As(err, &refused) {
		return slices.Contains([]string{"57P01", "57P02", "57P03", "25P03"}, refused.Code) || strings.HasPrefix(refused.Code, "08")
	}
	var network *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, driver.ErrBadConn) || errors.As(err, &network)
}

// isUnstorable reports whether err is that a text has bytes that PostgreSQL takes for none.
func isUnstorable(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "22021"
}
