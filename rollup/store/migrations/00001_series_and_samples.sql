-- +goose Up

CREATE TABLE networks (
    name    text PRIMARY KEY,
    genesis timestamptz NOT NULL
);
COMMENT ON TABLE networks IS 'When each network began. A day of a network begins whole days after its genesis; of a network that is not here, at 00:00 UTC.';

INSERT INTO networks (name, genesis) VALUES
    ('mainnet', to_timestamp(1606824023)),
    ('gnosis',  to_timestamp(1638993340)),
    ('sepolia', to_timestamp(1655733600)),
    ('holesky', to_timestamp(1695902400)),
    ('hoodi',   to_timestamp(1742213400));

CREATE TABLE subjects (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('validator', 'group', 'network')),
    network         text NOT NULL,
    validator_index bigint,
    group_by        text,
    group_name      text,
    CHECK ((kind = 'validator') = (validator_index IS NOT NULL)),
    CHECK ((kind = 'group') = (group_by IS NOT NULL)),
    CHECK ((kind = 'group') = (group_name IS NOT NULL))
);
COMMENT ON TABLE subjects IS 'Whom a series is about: a validator, a group of the watch list, or all validators of a network. Never deleted.';

CREATE UNIQUE INDEX subjects_validator ON subjects (network, validator_index) WHERE kind = 'validator';
CREATE UNIQUE INDEX subjects_group ON subjects (network, group_by, group_name) WHERE kind = 'group';
CREATE UNIQUE INDEX subjects_network ON subjects (network) WHERE kind = 'network';

CREATE TABLE series (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    name       text NOT NULL,
    labels     jsonb NOT NULL,
    subject_id bigint REFERENCES subjects,
    measure    text,
    CHECK ((subject_id IS NULL) = (measure IS NULL))
);
COMMENT ON TABLE series IS 'Identity of each series. Never deleted, so that an id means the same for ever.';
COMMENT ON COLUMN series.hash IS 'SHA-256 over the labels with __name__, sorted by name; each name and value after its length as 8 bytes, big-endian.';
COMMENT ON COLUMN series.name IS 'Name of the metric family.';
COMMENT ON COLUMN series.labels IS 'The other labels, without window and without what the receiver strips.';
COMMENT ON COLUMN series.measure IS 'What is counted, with the values of further labels: attestations_expected, attestation_votes_lost/target/missing. Null, as the subject, for a series that no view knows.';

-- No two series tell the same of a subject, so that sums count nothing twice.
CREATE UNIQUE INDEX series_subject ON series (subject_id, measure) WHERE subject_id IS NOT NULL;

-- series_id refers to series without a foreign key: series are never deleted, and the check would
-- lock a row of series for each sample.
CREATE TABLE samples (
    series_id    bigint NOT NULL,
    window_start timestamptz NOT NULL,
    value        double precision NOT NULL,
    PRIMARY KEY (series_id, window_start)
) PARTITION BY RANGE (window_start);
COMMENT ON TABLE samples IS 'The final total of each series in each completed window. Written once, never updated. Partitions are months in UTC, made and dropped by the receiver.';
COMMENT ON COLUMN samples.window_start IS 'When the first slot of the window begins.';

-- Windows arrive in order of time, so ranges of pages are ranges of time: this index of a few
-- pages finds the rows of a day.
CREATE INDEX samples_window_start ON samples USING brin (window_start) WITH (pages_per_range = 32, autosummarize = on);

-- +goose Down

DROP TABLE samples;
DROP TABLE series;
DROP TABLE subjects;
DROP TABLE networks;
