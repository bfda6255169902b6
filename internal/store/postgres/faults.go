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
	// errChainTaken means that another replica writes the chain, because this one had no
	// heartbeat for too long.
	errChainTaken = errors.New("another replica has taken the chain")
	// ErrRolledBack means that the database lost entries that it had acknowledged, for
	// example by a failover to an asynchronous standby. Consumed values may be lost with
	// them, so nothing is written until an operator restarts the program.
	ErrRolledBack = errors.New("the database lost entries of the ledger that it had acknowledged: find out what failed over, or was restored, and start this replica again")
	// ErrChainChanged means that another program changed the chain that this replica writes.
	// The replica writes and signs nothing more until an operator restarts the program.
	ErrChainChanged = errors.New("the end of the chain of the ledger that this replica writes was changed in the database by another program: verify the ledger with heads noted elsewhere (moneyer ledger verify --head), find out who can write the database, and start this replica again")
	// errNoChain means that the database failed over, or was restored, to a state before
	// the chain existed.
	errNoChain = errors.New("the chain of the ledger is gone")
	// errNotReplicated means that the server was told to stop waiting for its standbys.
	errNotReplicated = errors.New("the database warned that the commit may not have reached its standbys")
	// errChainBroken means that this program cannot have written the row of the chain.
	errChainBroken = errors.New("the end of the ledger's chain is broken")
)

// isLost reports whether err means that a connection was lost. It is false for one that
// cannot be opened: an immediate retry would only add load to the server.
func isLost(err error) bool {
	var refused *pgconn.PgError
	var dialed *pgconn.ConnectError
	if errors.As(err, &dialed) {
		return false
	}
	if errors.As(err, &refused) {
		return slices.Contains([]string{"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"}, refused.Code) || strings.HasPrefix(refused.Code, "08")
	}
	var network *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, driver.ErrBadConn) || errors.As(err, &network)
}

// isUnstorable reports whether err means that the encoding of a text is invalid for PostgreSQL.
func isUnstorable(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "22021"
}
