-- +goose Up

CREATE TABLE calendar (
    network text NOT NULL,
    day     date NOT NULL,
    month   date NOT NULL GENERATED ALWAYS AS (date_trunc('month', day::timestamp)::date) STORED,
    begins  timestamptz NOT NULL,
    ends    timestamptz NOT NULL,
    state   text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closing', 'closed')),
    PRIMARY KEY (network, day)
);
COMMENT ON TABLE calendar IS 'The days of each network that have samples. A day is 24 hours, counted from the genesis, and named by the UTC date on which it begins.';
COMMENT ON COLUMN calendar.month IS 'First date of the month that the day belongs to.';
COMMENT ON COLUMN calendar.begins IS 'When the day begins, which is in it.';
COMMENT ON COLUMN calendar.ends IS 'When it ends, which is in the next.';
COMMENT ON COLUMN calendar.state IS 'closed: its sums are in days. open: something was written since, and they are made from samples whenever somebody asks. closing: as open, but sums are being stored and nothing has been written since that began.';

CREATE TABLE days (
    subject_id bigint NOT NULL REFERENCES subjects,
    day        date NOT NULL,
    windows    integer NOT NULL,
    attestations_expected bigint,
    attestations_included bigint,
    source_votes bigint,
    target_votes bigint,
    head_votes bigint,
    source_lost_missing bigint,
    source_lost_late bigint,
    source_lost_wrong bigint,
    source_lost_network bigint,
    target_lost_missing bigint,
    target_lost_late bigint,
    target_lost_wrong bigint,
    target_lost_network bigint,
    head_lost_missing bigint,
    head_lost_late bigint,
    head_lost_wrong bigint,
    head_lost_network bigint,
    inclusion_delay_slots bigint,
    stake_possible_gwei numeric,
    stake_achievable_gwei numeric,
    stake_earned_gwei numeric,
    blocks_expected bigint,
    blocks_proposed bigint,
    sync_expected bigint,
    sync_included bigint,
    balance_gwei bigint,
    balance_change_gwei bigint,
    proposer_slashings bigint,
    attester_slashings bigint,
    PRIMARY KEY (subject_id, day)
);
COMMENT ON TABLE days IS 'Sums of closed days; the views say what the columns mean. A row counts only while the calendar says that its day is closed.';

CREATE INDEX days_day ON days (day);

-- +goose StatementBegin
CREATE FUNCTION chain_day(of_network text, moment timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT first + floor(extract(epoch FROM moment - first) / 86400)::float8 * interval '24 hours'
    FROM (SELECT coalesce((SELECT genesis FROM networks WHERE name = of_network), '1970-01-01 00:00:00+00'::timestamptz) AS first) AS networks
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION chain_day IS 'When the day begins that a moment lies in.';

-- Who writes samples calls this before he commits. Three rules keep days in step with samples:
--
-- 1. Writers hold the network's lock, shared, from before they look at the calendar until they have
--    committed. Whoever changes a state to closing or closed holds it alone.
-- 2. A writer opens the days that he has written to, and the day after each, which tells the change
--    of the balance since.
-- 3. Sums are made after closing is committed, and kept only if the day is still closing.
--
-- So what a writer adds is either seen by the sums or undoes them.
-- +goose StatementBegin
CREATE FUNCTION note_windows(of_networks text[], windows timestamptz[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_days(name, true) FROM (SELECT DISTINCT unnest(of_networks) AS name ORDER BY name) AS names;

    -- Statements of their own: each sees what was committed until it began, and so after the wait.
    INSERT INTO calendar (network, day, begins, ends)
    SELECT DISTINCT touched.network, (began AT TIME ZONE 'UTC')::date, began, began + interval '24 hours'
    FROM unnest(of_networks, windows) AS touched (network, window_start), chain_day(touched.network, window_start) AS began
    WHERE NOT EXISTS (SELECT FROM calendar WHERE calendar.network = touched.network AND calendar.begins = began)
    ORDER BY touched.network, began
    ON CONFLICT DO NOTHING;

    UPDATE calendar SET state = 'open' FROM (
        SELECT calendar.network, calendar.day
        FROM calendar
        WHERE state <> 'open' AND EXISTS (
            SELECT FROM unnest(of_networks, windows) AS touched (network, window_start), chain_day(touched.network, window_start) AS began
            WHERE touched.network = calendar.network AND calendar.begins IN (began, began + interval '24 hours'))
        ORDER BY calendar.network, calendar.day -- writers wait for each other in one order
        FOR UPDATE
    ) AS stale
    WHERE calendar.network = stale.network AND calendar.day = stale.day;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION note_windows IS 'Says that the transaction has added samples: for each, its network and its window.';

-- +goose StatementBegin
CREATE FUNCTION lock_days(of_network text, shared boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF shared THEN
        PERFORM pg_advisory_xact_lock_shared(1987211116, hashtext(of_network)); -- the first is "vrol"
    ELSE
        PERFORM pg_advisory_xact_lock(1987211116, hashtext(of_network));
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION lock_days IS 'Takes the lock of the states of a network''s days until the transaction ends.';

-- When it is learnt, or put right, when a network began, its days begin at another time.
-- +goose StatementBegin
CREATE FUNCTION recut_days() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    earliest timestamptz;
    latest   timestamptz;
BEGIN
    PERFORM lock_days(NEW.name, false);
    SELECT min(begins), max(ends) INTO earliest, latest FROM calendar WHERE network = NEW.name;
    IF earliest IS NOT NULL THEN
        DELETE FROM days USING subjects WHERE subjects.id = days.subject_id AND subjects.network = NEW.name;
        DELETE FROM calendar WHERE network = NEW.name;
        INSERT INTO calendar (network, day, begins, ends)
        SELECT NEW.name, (begins AT TIME ZONE 'UTC')::date, begins, begins + interval '24 hours'
        FROM generate_series(chain_day(NEW.name, earliest), latest - interval '1 microsecond', interval '24 hours') AS begins;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER recut_days AFTER INSERT OR UPDATE OF genesis ON networks FOR EACH ROW EXECUTE FUNCTION recut_days();

-- A series that no view knew may become known to a newer program: what it has told counts from then on.
-- +goose StatementBegin
CREATE FUNCTION note_series() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM note_windows(array_agg(subjects.network), array_agg(samples.window_start))
    FROM samples JOIN subjects ON subjects.id = NEW.subject_id
    WHERE samples.series_id = NEW.id
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER note_series AFTER UPDATE OF subject_id ON series FOR EACH ROW WHEN (NEW.subject_id IS NOT NULL) EXECUTE FUNCTION note_series();

INSERT INTO calendar (network, day, begins, ends)
SELECT DISTINCT network, (begins AT TIME ZONE 'UTC')::date, begins, begins + interval '24 hours'
FROM (
    SELECT DISTINCT subjects.network, samples.window_start
    FROM samples JOIN series ON series.id = samples.series_id JOIN subjects ON subjects.id = series.subject_id
) AS windows, chain_day(network, window_start) AS begins;

-- The sums of one subject's samples in one day. A function of its own, so that neither the planner
-- nor the compiler of expressions spends time on it while there is nothing to sum, and that each series
-- is looked up in the one or two partitions that hold the day, whatever the planner believes. Who reads
-- the views runs it, with the rights of its owner. Samples are whole numbers: as bigint they sum exactly,
-- in any order.
-- +goose StatementBegin
CREATE FUNCTION sum_day(of_subject bigint, begins timestamptz, ends timestamptz) RETURNS TABLE (
    windows integer,
    attestations_expected bigint,
    attestations_included bigint,
    source_votes bigint,
    target_votes bigint,
    head_votes bigint,
    source_lost_missing bigint,
    source_lost_late bigint,
    source_lost_wrong bigint,
    source_lost_network bigint,
    target_lost_missing bigint,
    target_lost_late bigint,
    target_lost_wrong bigint,
    target_lost_network bigint,
    head_lost_missing bigint,
    head_lost_late bigint,
    head_lost_wrong bigint,
    head_lost_network bigint,
    inclusion_delay_slots bigint,
    stake_possible_gwei numeric,
    stake_achievable_gwei numeric,
    stake_earned_gwei numeric,
    blocks_expected bigint,
    blocks_proposed bigint,
    sync_expected bigint,
    sync_included bigint,
    balance_gwei bigint, balance_change_gwei bigint, proposer_slashings bigint, attester_slashings bigint
) LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET plan_cache_mode = force_generic_plan
BEGIN ATOMIC
SELECT
    totals.windows,
    totals.attestations_expected,
    totals.attestations_included,
    totals.source_votes,
    totals.target_votes,
    totals.head_votes,
    totals.source_lost_missing,
    totals.source_lost_late,
    coalesce(totals.source_lost_wrong, 0 * totals.source_lost_missing), -- cannot be: 0 once the others are known
    totals.source_lost_network,
    totals.target_lost_missing,
    coalesce(totals.target_lost_late, 0 * totals.target_lost_missing), -- cannot be: 0 once the others are known
    totals.target_lost_wrong,
    totals.target_lost_network,
    totals.head_lost_missing,
    totals.head_lost_late,
    totals.head_lost_wrong,
    totals.head_lost_network,
    totals.inclusion_delay_slots,
    totals.stake_possible_gwei,
    totals.stake_achievable_gwei,
    totals.stake_earned_gwei,
    totals.blocks_expected,
    totals.blocks_proposed,
    totals.sync_expected,
    totals.sync_included,
    newest.value::bigint,
    newest.value::bigint - before.value::bigint,
    totals.proposer_slashings, totals.attester_slashings
FROM (
    SELECT
        coalesce(min(sums.windows) FILTER (WHERE series.measure NOT LIKE 'attestation\_stake\_%' AND series.measure <> 'balance_gwei'), 0)::integer AS windows,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestations_expected'))::bigint AS attestations_expected,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestations_included'))::bigint AS attestations_included,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_source_votes'))::bigint AS source_votes,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_target_votes'))::bigint AS target_votes,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_head_votes'))::bigint AS head_votes,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/missing'))::bigint AS source_lost_missing,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/late'))::bigint AS source_lost_late,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/wrong'))::bigint AS source_lost_wrong,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/network'))::bigint AS source_lost_network,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/missing'))::bigint AS target_lost_missing,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/late'))::bigint AS target_lost_late,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/wrong'))::bigint AS target_lost_wrong,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/network'))::bigint AS target_lost_network,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/head/missing'))::bigint AS head_lost_missing,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/head/late'))::bigint AS head_lost_late,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/head/wrong'))::bigint AS head_lost_wrong,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/head/network'))::bigint AS head_lost_network,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_inclusion_delay_slots'))::bigint AS inclusion_delay_slots,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_stake_possible_gwei')) AS stake_possible_gwei,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_stake_achievable_gwei')) AS stake_achievable_gwei,
        (sum(sums.total) FILTER (WHERE series.measure = 'attestation_stake_earned_gwei')) AS stake_earned_gwei,
        (sum(sums.total) FILTER (WHERE series.measure = 'blocks_expected'))::bigint AS blocks_expected,
        (sum(sums.total) FILTER (WHERE series.measure = 'blocks_proposed'))::bigint AS blocks_proposed,
        (sum(sums.total) FILTER (WHERE series.measure = 'sync_committee_expected'))::bigint AS sync_expected,
        (sum(sums.total) FILTER (WHERE series.measure = 'sync_committee_included'))::bigint AS sync_included,
        (sum(sums.total) FILTER (WHERE series.measure = 'slashings/proposer'))::bigint AS proposer_slashings,
        (sum(sums.total) FILTER (WHERE series.measure = 'slashings/attester'))::bigint AS attester_slashings,
        count(*) AS series,
        min(series.id) FILTER (WHERE series.measure = 'balance_gwei') AS balance
    FROM series
    CROSS JOIN LATERAL (
        SELECT count(*) AS windows, sum(CASE WHEN samples.value BETWEEN -9e18 AND 9e18 THEN samples.value::bigint END) AS total
        FROM samples
        WHERE samples.series_id = series.id AND samples.window_start >= sum_day.begins AND samples.window_start < sum_day.ends
    ) AS sums
    WHERE series.subject_id = of_subject AND sums.windows > 0
) AS totals
LEFT JOIN LATERAL (
    SELECT samples.value
    FROM samples
    WHERE samples.series_id = totals.balance AND samples.window_start >= sum_day.begins AND samples.window_start < sum_day.ends
        AND samples.value BETWEEN -9e18 AND 9e18
    ORDER BY samples.window_start DESC
    LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT samples.value
    FROM samples
    WHERE samples.series_id = totals.balance
        AND samples.window_start >= sum_day.begins - interval '24 hours' AND samples.window_start < sum_day.begins
        AND samples.value BETWEEN -9e18 AND 9e18
    ORDER BY samples.window_start DESC
    LIMIT 1
) AS before ON true
WHERE totals.series > 0;
END;
-- +goose StatementEnd
COMMENT ON FUNCTION sum_day IS 'The sums of the samples of one subject from a time on up to another; no row when there are none. balance_change_gwei is since the 24 hours before.';
REVOKE ALL ON FUNCTION sum_day FROM PUBLIC;

CREATE VIEW open_days AS
SELECT
    subjects.id AS subject_id, subjects.kind, subjects.network, subjects.validator_index, subjects.group_by, subjects.group_name,
    calendar.day, calendar.month,
    sums.*
FROM calendar
JOIN subjects ON subjects.network = calendar.network
CROSS JOIN LATERAL sum_day(subjects.id, calendar.begins, calendar.ends) AS sums
WHERE calendar.state <> 'closed';
COMMENT ON VIEW open_days IS 'The sums of days that are not closed, made from samples.';

CREATE VIEW all_days AS
SELECT
    subjects.kind, subjects.network, subjects.validator_index, subjects.group_by, subjects.group_name,
    days.day, calendar.month,
    days.windows,
    days.attestations_expected,
    days.attestations_included,
    days.source_votes,
    days.target_votes,
    days.head_votes,
    days.source_lost_missing,
    days.source_lost_late,
    days.source_lost_wrong,
    days.source_lost_network,
    days.target_lost_missing,
    days.target_lost_late,
    days.target_lost_wrong,
    days.target_lost_network,
    days.head_lost_missing,
    days.head_lost_late,
    days.head_lost_wrong,
    days.head_lost_network,
    days.inclusion_delay_slots,
    days.stake_possible_gwei,
    days.stake_achievable_gwei,
    days.stake_earned_gwei,
    days.blocks_expected,
    days.blocks_proposed,
    days.sync_expected,
    days.sync_included,
    days.balance_gwei, days.balance_change_gwei, days.proposer_slashings, days.attester_slashings
FROM days
JOIN subjects ON subjects.id = days.subject_id
JOIN calendar ON calendar.network = subjects.network AND calendar.day = days.day
WHERE calendar.state = 'closed'
UNION ALL
SELECT
    kind, network, validator_index, group_by, group_name,
    day, month,
    windows,
    attestations_expected,
    attestations_included,
    source_votes,
    target_votes,
    head_votes,
    source_lost_missing,
    source_lost_late,
    source_lost_wrong,
    source_lost_network,
    target_lost_missing,
    target_lost_late,
    target_lost_wrong,
    target_lost_network,
    head_lost_missing,
    head_lost_late,
    head_lost_wrong,
    head_lost_network,
    inclusion_delay_slots,
    stake_possible_gwei,
    stake_achievable_gwei,
    stake_earned_gwei,
    blocks_expected,
    blocks_proposed,
    sync_expected,
    sync_included,
    balance_gwei, balance_change_gwei, proposer_slashings, attester_slashings
FROM open_days;
COMMENT ON VIEW all_days IS 'The sums of all days, stored or made from samples: nobody can tell which.';

-- +goose Down

DROP VIEW all_days;
DROP VIEW open_days;
DROP TRIGGER note_series ON series;
DROP FUNCTION note_series;
DROP TRIGGER recut_days ON networks;
DROP FUNCTION sum_day;
DROP FUNCTION recut_days;
DROP FUNCTION note_windows;
DROP FUNCTION lock_days;
DROP FUNCTION chain_day;
DROP TABLE days;
DROP TABLE calendar;
