-- Access tokens that were withdrawn before their end.
CREATE TABLE revocation (
	issuer   TEXT   NOT NULL,
	id       TEXT   NOT NULL,
	until    BIGINT NOT NULL,
	document BLOB   NOT NULL,
	PRIMARY KEY (issuer, id)
) WITHOUT ROWID;

CREATE INDEX revocation_until ON revocation (until);
