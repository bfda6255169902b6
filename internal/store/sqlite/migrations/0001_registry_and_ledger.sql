-- A MAC covers the kind, issuer, id, revision and document of its row under a key that
-- the database does not hold. Columns beside them only find rows.
CREATE TABLE client (
	issuer   TEXT   NOT NULL,
	id       TEXT   NOT NULL,
	revision BIGINT NOT NULL,
	document BLOB   NOT NULL,
	mac      BLOB   NOT NULL,
	PRIMARY KEY (issuer, id)
) WITHOUT ROWID;

-- What a client's document says of its keys, and of the certificates that are registered
-- themselves, to find who holds one. The kid of a certificate is its ID, its thumbprint x5t#S256;
-- that of its key is "certificate" and the ID, the thumbprint that of RFC 7638.
CREATE TABLE client_key (
	issuer      TEXT   NOT NULL,
	client      TEXT   NOT NULL,
	kid         TEXT   NOT NULL,
	thumbprint  TEXT   NOT NULL,
	environment TEXT   NOT NULL,
	not_after   BIGINT NOT NULL,
	PRIMARY KEY (issuer, client, kid),
	FOREIGN KEY (issuer, client) REFERENCES client (issuer, id)
) WITHOUT ROWID;

CREATE INDEX client_key_thumbprint ON client_key (thumbprint);

-- What a client's document says of its API keys and identities, to find who holds one.
CREATE TABLE client_digest (
	issuer TEXT NOT NULL,
	digest BLOB NOT NULL,
	client TEXT NOT NULL,
	PRIMARY KEY (issuer, digest),
	FOREIGN KEY (issuer, client) REFERENCES client (issuer, id)
) WITHOUT ROWID;

CREATE INDEX client_digest_client ON client_digest (issuer, client);

-- Where the clients publish keys, in one spelling, to find a URL in another environment.
CREATE TABLE client_jwks_uri (
	issuer      TEXT NOT NULL,
	client      TEXT NOT NULL,
	uri         TEXT NOT NULL,
	environment TEXT NOT NULL,
	PRIMARY KEY (issuer, client),
	FOREIGN KEY (issuer, client) REFERENCES client (issuer, id)
) WITHOUT ROWID;

CREATE INDEX client_jwks_uri_uri ON client_jwks_uri (uri);

CREATE TABLE account (
	issuer   TEXT NOT NULL,
	id       TEXT NOT NULL,
	client   TEXT NOT NULL,
	document BLOB NOT NULL,
	mac      BLOB NOT NULL,
	PRIMARY KEY (issuer, id),
	FOREIGN KEY (issuer, client) REFERENCES client (issuer, id)
) WITHOUT ROWID;

CREATE INDEX account_client ON account (issuer, client);

CREATE TABLE item (
	issuer  TEXT NOT NULL,
	id      TEXT NOT NULL,
	account TEXT NOT NULL,
	kind    TEXT NOT NULL,
	mac     BLOB NOT NULL,
	PRIMARY KEY (issuer, id),
	FOREIGN KEY (issuer, account) REFERENCES account (issuer, id)
) WITHOUT ROWID;

CREATE INDEX item_account ON item (issuer, account, id);

CREATE TABLE signing_keys (
	issuer   TEXT   NOT NULL PRIMARY KEY,
	revision BIGINT NOT NULL,
	document BLOB   NOT NULL,
	mac      BLOB   NOT NULL
) WITHOUT ROWID;

CREATE TABLE last_used (
	issuer     TEXT   NOT NULL,
	client     TEXT   NOT NULL,
	credential TEXT   NOT NULL,
	at         BIGINT NOT NULL,
	PRIMARY KEY (issuer, client, credential)
) WITHOUT ROWID;

-- Access tokens that were revoked before their end.
CREATE TABLE revocation (
	issuer   TEXT   NOT NULL,
	id       TEXT   NOT NULL,
	until    BIGINT NOT NULL,
	document BLOB   NOT NULL,
	mac      BLOB   NOT NULL,
	PRIMARY KEY (issuer, id)
) WITHOUT ROWID;

CREATE INDEX revocation_until ON revocation (until);

-- The number of changes of the rows that have a MAC, and the sum of those rows, sealed. It
-- has no row before the first change, and then one.
CREATE TABLE registry_state (
	revision BIGINT NOT NULL PRIMARY KEY,
	sealed   BLOB  NOT NULL
) WITHOUT ROWID;

-- The consumed values with which something is left for whoever comes with them later.
-- The key covers the issuer.
CREATE TABLE use_up (
	key    BLOB   NOT NULL PRIMARY KEY,
	until  BIGINT NOT NULL,
	sealed BLOB   NOT NULL
) WITHOUT ROWID;

CREATE INDEX use_up_until ON use_up (until);

-- The values that the entries of one batch consumed, those of one minute's end
-- together, from which the set in memory is made at the start.
CREATE TABLE used_batch (
	until     BIGINT NOT NULL,
	first_seq BIGINT NOT NULL,
	keys      BLOB   NOT NULL,
	PRIMARY KEY (until, first_seq)
) WITHOUT ROWID;

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

INSERT INTO store (id, accepted) VALUES (lower(hex(randomblob(16))), 0);

-- The entries of one commit. Lines are compressed; marks are the first 4 bytes of each
-- link of the chain, by which the first broken entry can be named.
CREATE TABLE ledger_batch (
	first_seq INTEGER PRIMARY KEY,
	count     BIGINT NOT NULL,
	time_min  BIGINT NOT NULL,
	time_max  BIGINT NOT NULL,
	previous  BLOB   NOT NULL,
	last      BLOB   NOT NULL,
	marks     BLOB   NOT NULL,
	lines     BLOB   NOT NULL
);

CREATE INDEX ledger_batch_times ON ledger_batch (time_max, time_min);

-- What a trial writes, which shows whether the store can be written.
CREATE TABLE trial (
	n BIGINT NOT NULL
);

INSERT INTO trial (n) VALUES (0);
