-- Lines are compressed from now on. The links between them follow from the lines
-- and are no longer kept, but for the first 4 octets of each, by which the first
-- broken entry can be named. Older batches have no marks.
ALTER TABLE ledger_batch DROP COLUMN hashes;
ALTER TABLE ledger_batch ADD COLUMN marks BLOB NOT NULL DEFAULT x'';

-- The assertions that the entries of one batch used up, those of one minute's end
-- together, from which the set in memory is made at the start. In use_up are those that left something behind
-- for whoever comes later.
CREATE TABLE used_batch (
	until     BIGINT NOT NULL,
	first_seq BIGINT NOT NULL,
	keys      BLOB   NOT NULL,
	PRIMARY KEY (until, first_seq)
) WITHOUT ROWID;

-- Up to when used assertions were forgotten, in Unix seconds. What would have been
-- among them can never be told from unused.
CREATE TABLE used_forgotten (
	at BIGINT NOT NULL
);

INSERT INTO used_forgotten (at) VALUES (0);
