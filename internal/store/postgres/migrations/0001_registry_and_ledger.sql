-- Identifiers are compared byte by byte, as SQLite does.
--
-- A MAC covers the kind, issuer, id, revision and document of its row under a key that
-- the database does not hold. Columns beside them only find rows.
CREATE TABLE client (
	issuer   TEXT COLLATE "C" NOT NULL,
	id       TEXT COLLATE "C" NOT NULL,
	revision BIGINT NOT NULL,
	document BYTEA  NOT NULL,
	mac      BYTEA  NOT NULL,
	PRIMARY KEY (issuer, id)
);

-- What a client's document says of its keys, and of the certificates that are registered
-- themselves, to find who holds one. The kid of a certificate is its ID, its thumbprint x5t#S256;
-- that of its key is "certificate" and the ID, the thumbprint that of RFC 7638.
CREATE TABLE client_key (
	issuer      TEXT COLLATE "C" NOT NULL,
	client      TEXT COLLATE "C" NOT NULL,
	kid         TEXT COLLATE "C" NOT NULL,
	thumbprint  TEXT COLLATE "C" NOT NULL,
	environment TEXT COLLATE "C" NOT NULL,
	not_after   BIGINT NOT NULL,
	PRIMARY KEY (issuer, client, kid),
	FOREIGN KEY (issuer, client) REFERENCES client (issuer, id)
);

CREATE INDEX client_key_thumbprint ON client_key (thumbprint);

-- What a client's document says of its API keys and identities, to find who holds one.
CREATE TABLE client_digest (
	issuer TEXT COLLATE "C" NOT NULL,
	digest BYTEA NOT NULL,
	client TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (issuer, digest),
	FOREIGN KEY (issuer, client) REFERENCES client (issuer, id)
);

CREATE INDEX client_digest_client ON client_digest (issuer, client);

-- Where the clients publish keys, in one spelling, to find a URL in another environment.
CREATE TABLE client_jwks_uri (
	issuer      TEXT COLLATE "C" NOT NULL,
	client      TEXT COLLATE "C" NOT NULL,
	uri         TEXT COLLATE "C" NOT NULL,
	environment TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (issuer, client),
	FOREIGN KEY (issuer, client) REFERENCES client (issuer, id)
);

CREATE INDEX client_jwks_uri_uri ON client_jwks_uri (uri);

CREATE TABLE account (
	issuer   TEXT COLLATE "C" NOT NULL,
	id       TEXT COLLATE "C" NOT NULL,
	client   TEXT COLLATE "C" NOT NULL,
	document BYTEA NOT NULL,
	mac      BYTEA NOT NULL,
	PRIMARY KEY (issuer, id),
	FOREIGN KEY (issuer, client) REFERENCES client (issuer, id)
);

CREATE INDEX account_client ON account (issuer, client);

CREATE TABLE item (
	issuer  TEXT COLLATE "C" NOT NULL,
	id      TEXT COLLATE "C" NOT NULL,
	account TEXT COLLATE "C" NOT NULL,
	kind    TEXT NOT NULL,
	mac     BYTEA NOT NULL,
	PRIMARY KEY (issuer, id),
	FOREIGN KEY (issuer, account) REFERENCES account (issuer, id)
);

CREATE INDEX item_account ON item (issuer, account, id);

CREATE TABLE signing_keys (
	issuer   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	revision BIGINT NOT NULL,
	document BYTEA  NOT NULL,
	mac      BYTEA  NOT NULL
);

CREATE TABLE last_used (
	issuer     TEXT COLLATE "C" NOT NULL,
	client     TEXT COLLATE "C" NOT NULL,
	credential TEXT COLLATE "C" NOT NULL,
	at         BIGINT NOT NULL,
	PRIMARY KEY (issuer, client, credential)
);

-- Access tokens that were revoked before their end.
CREATE TABLE revocation (
	issuer   TEXT COLLATE "C" NOT NULL,
	id       TEXT COLLATE "C" NOT NULL,
	until    BIGINT NOT NULL,
	document BYTEA  NOT NULL,
	mac      BYTEA  NOT NULL,
	PRIMARY KEY (issuer, id)
);

CREATE INDEX revocation_until ON revocation (until);

-- The number of changes of the rows that have a MAC, and the sum of those rows, sealed. It
-- has no row before the first change, and then one.
CREATE TABLE registry_state (
	revision BIGINT NOT NULL PRIMARY KEY,
	sealed   BYTEA NOT NULL
);

-- Consumed values, by their first 16 bytes, which cover the issuer.
-- The table has no partitions: a unique index holds within one alone, and an
-- assertion may be used once whatever day it is.
CREATE TABLE use_up (
	key    BYTEA  NOT NULL PRIMARY KEY,
	until  BIGINT NOT NULL,
	sealed BYTEA  NOT NULL
);

CREATE INDEX use_up_until ON use_up (until);

-- at is the latest end of a consumed value that was deleted, in Unix seconds: an older
-- value can never be told from an unused one. refused is up to when values may be missing
-- because the store went back. Values that end by the later of the two are refused.
CREATE TABLE used_forgotten (
	at      BIGINT NOT NULL,
	refused BIGINT NOT NULL
);

INSERT INTO used_forgotten (at, refused) VALUES (0, 0);

-- The name of this store, which its copies keep. accepted is the time, in Unix
-- milliseconds, of the newest entry whose time an operator accepted as wrong.
CREATE TABLE store (
	id       TEXT   NOT NULL,
	accepted BIGINT NOT NULL
);

INSERT INTO store (id, accepted) VALUES (replace(gen_random_uuid()::text, '-', ''), 0);

-- The entries of one commit. first_seq carries the chain in its upper bits. Lines are
-- compressed; marks are the first 4 bytes of each link of the chain, by which the
-- first broken entry can be named. There is a partition for each day (UTC).
CREATE TABLE ledger_batch (
	first_seq BIGINT NOT NULL,
	count     BIGINT NOT NULL,
	time_min  BIGINT NOT NULL,
	time_max  BIGINT NOT NULL,
	previous  BYTEA  NOT NULL,
	last      BYTEA  NOT NULL,
	marks     BYTEA  NOT NULL,
	lines     BYTEA  NOT NULL,
	PRIMARY KEY (first_seq, time_max)
) PARTITION BY RANGE (time_max);

-- PostgreSQL would try to compress again what is compressed.
ALTER TABLE ledger_batch ALTER COLUMN lines SET STORAGE EXTERNAL;

CREATE INDEX ledger_batch_times ON ledger_batch (time_max, time_min);

-- The end of each chain, and the replica that goes on with it. Whoever appends
-- holds the row, so a chain has one writer whatever two replicas believe.
CREATE TABLE ledger_chain (
	id     BIGINT NOT NULL PRIMARY KEY,
	holder TEXT   NOT NULL,
	seq    BIGINT NOT NULL,
	hash   BYTEA  NOT NULL
);

-- The replicas that are up: each writes its row a few times a second. Its clock is ahead
-- of the database's by clock_min to clock_max microseconds; acknowledged is the last entry
-- of the ledger that the database has acknowledged to it. A replica that stopped has left:
-- how far its clock was ahead still matters for a while. Where it runs and its version are
-- for people.
CREATE TABLE replica (
	id           TEXT NOT NULL PRIMARY KEY,
	host         TEXT NOT NULL DEFAULT '',
	address      TEXT NOT NULL DEFAULT '',
	version      TEXT NOT NULL DEFAULT '',
	seen         TIMESTAMPTZ NOT NULL,
	has_left     BOOLEAN NOT NULL DEFAULT false,
	clock_min    BIGINT,
	clock_max    BIGINT,
	acknowledged BIGINT NOT NULL DEFAULT 0
);

-- What was changed in the registry, so that replicas can drop it from their caches.
-- Changes take turns by the row of registry_revision, so that revisions become
-- visible in their order. Those up to gone are not kept any more.
CREATE TABLE registry_revision (
	revision BIGINT NOT NULL,
	gone     BIGINT NOT NULL
);

INSERT INTO registry_revision (revision, gone) VALUES (0, 0);

CREATE TABLE registry_change (
	revision BIGINT NOT NULL,
	at       TIMESTAMPTZ NOT NULL,
	kind     TEXT NOT NULL,
	issuer   TEXT NOT NULL,
	id       TEXT NOT NULL
);

CREATE INDEX registry_change_revision ON registry_change (revision);

UPDATE schema_version SET version = 1, oldest = 1;
