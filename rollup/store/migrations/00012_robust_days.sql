-- +goose Up

-- What this replaces does the same, so taking this migration back leaves it in place: the definitions of
-- before fail on what they did not expect, which no version wants back.

-- A day may be closing, or a writer be in the middle, with locks that mean another thing from here on.
-- The first key is that of maintenance.
SELECT pg_advisory_xact_lock(8535006755287298050);

-- From here on writers wait, and below the views are waited for, which somebody may read for hours.
-- Rather than that this fails, writers go on, and it is tried again.
SET LOCAL lock_timeout = '10s';

-- In the order of writers, who make series before samples: the other way round a writer that has made
-- one, and the index of series below, would wait for each other.
LOCK TABLE series IN SHARE MODE;
LOCK TABLE ONLY samples IN SHARE ROW EXCLUSIVE MODE;

-- A sender can make up any number of networks, and the server has room for a few thousand locks. So
-- networks share 16 of them. Those that share one wait for each other for moments, when a day is closed.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION lock_days(of_network text, shared boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF shared THEN
        PERFORM pg_advisory_xact_lock_shared(1987211116, hashtext(of_network) & 15); -- the first is "vrol"
    ELSE
        PERFORM pg_advisory_xact_lock(1987211116, hashtext(of_network) & 15);
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION lock_days IS 'Takes the lock of the states of a network''s days, which it may share with other networks, until the transaction ends.';

-- As before, but of networks that no view shows there are no days, each lock is taken once, and the
-- calendar is looked up by its days and not compared with each window.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION note_windows(of_networks text[], windows timestamptz[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- In one order, so that writers never wait for each other in a circle.
    PERFORM lock_days(name, true) FROM (
        SELECT min(name) AS name FROM unnest(of_networks) AS name GROUP BY hashtext(name) & 15 ORDER BY hashtext(name) & 15
    ) AS names;

    -- Statements of their own: each sees what was committed until it began, and so after the wait.
    INSERT INTO calendar (network, day, begins, ends)
    SELECT DISTINCT touched.network, (began AT TIME ZONE 'UTC')::date, began, began + interval '24 hours'
    FROM (SELECT DISTINCT network, window_start FROM unnest(of_networks, windows) AS noted (network, window_start)) AS touched,
        chain_day(touched.network, window_start) AS began
    WHERE (EXISTS (SELECT FROM subjects WHERE kind = 'network' AND subjects.network = touched.network)
            OR EXISTS (SELECT FROM subjects WHERE kind = 'group' AND subjects.network = touched.network)
            OR EXISTS (SELECT FROM subjects WHERE kind = 'validator' AND subjects.network = touched.network))
        AND NOT EXISTS (SELECT FROM calendar WHERE calendar.network = touched.network AND calendar.begins = began)
    ORDER BY touched.network, began
    ON CONFLICT DO NOTHING;

    UPDATE calendar SET state = 'open' FROM (
        SELECT calendar.network, calendar.day
        FROM calendar
        WHERE state <> 'open' AND (calendar.network, calendar.begins) IN (
            SELECT touched.network, began + following
            FROM (SELECT DISTINCT network, window_start FROM unnest(of_networks, windows) AS noted (network, window_start)) AS touched,
                chain_day(touched.network, window_start) AS began,
                unnest(ARRAY[interval '0', interval '24 hours']) AS following)
        ORDER BY calendar.network, calendar.day -- writers wait for each other in one order
        FOR UPDATE
    ) AS stale
    WHERE calendar.network = stale.network AND calendar.day = stale.day;
END
$$;
-- +goose StatementEnd

-- As before, but nothing that a sample may hold is an error, which would keep everybody from reading any
-- view of the day and the day from being closed for ever: a sum that is no bigint is not known, where it
-- is not of stake, which is summed as numeric. Nor is a sum of samples of which one is none: its window is
-- not whole.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION sum_day(of_subject bigint, begins timestamptz, ends timestamptz) RETURNS TABLE (
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
    CASE WHEN totals.attestations_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.attestations_expected::bigint END,
    CASE WHEN totals.attestations_included BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.attestations_included::bigint END,
    CASE WHEN totals.source_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.source_votes::bigint END,
    CASE WHEN totals.target_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.target_votes::bigint END,
    CASE WHEN totals.head_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.head_votes::bigint END,
    CASE WHEN totals.source_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.source_lost_missing::bigint END,
    CASE WHEN totals.source_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.source_lost_late::bigint END,
    CASE WHEN totals.source_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.source_lost_wrong::bigint END,
    CASE WHEN totals.source_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.source_lost_network::bigint END,
    CASE WHEN totals.target_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.target_lost_missing::bigint END,
    CASE WHEN totals.target_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.target_lost_late::bigint END,
    CASE WHEN totals.target_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.target_lost_wrong::bigint END,
    CASE WHEN totals.target_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.target_lost_network::bigint END,
    CASE WHEN totals.head_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.head_lost_missing::bigint END,
    CASE WHEN totals.head_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.head_lost_late::bigint END,
    CASE WHEN totals.head_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.head_lost_wrong::bigint END,
    CASE WHEN totals.head_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.head_lost_network::bigint END,
    CASE WHEN totals.inclusion_delay_slots BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.inclusion_delay_slots::bigint END,
    totals.stake_possible_gwei,
    totals.stake_achievable_gwei,
    totals.stake_earned_gwei,
    CASE WHEN totals.blocks_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.blocks_expected::bigint END,
    CASE WHEN totals.blocks_proposed BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.blocks_proposed::bigint END,
    CASE WHEN totals.sync_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.sync_expected::bigint END,
    CASE WHEN totals.sync_included BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.sync_included::bigint END,
    newest.whole,
    CASE WHEN newest.whole::numeric - before.whole BETWEEN -9223372036854775808 AND 9223372036854775807 THEN newest.whole - before.whole END,
    CASE WHEN totals.proposer_slashings BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.proposer_slashings::bigint END,
    CASE WHEN totals.attester_slashings BETWEEN -9223372036854775808 AND 9223372036854775807 THEN totals.attester_slashings::bigint END
FROM (
    SELECT
        coalesce(min(sums.windows) FILTER (WHERE series.measure NOT LIKE 'attestation\_stake\_%' AND series.measure <> 'balance_gwei'), 0)::integer AS windows,
        sum(sums.total) FILTER (WHERE series.measure = 'attestations_expected') AS attestations_expected,
        sum(sums.total) FILTER (WHERE series.measure = 'attestations_included') AS attestations_included,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_source_votes') AS source_votes,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_target_votes') AS target_votes,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_head_votes') AS head_votes,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/missing') AS source_lost_missing,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/late') AS source_lost_late,
        CASE WHEN count(*) FILTER (WHERE series.measure = 'attestation_votes_lost/source/wrong') > 0 THEN sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/wrong')
            ELSE 0 * sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/missing') END AS source_lost_wrong, -- cannot be: 0 once the others are known
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/source/network') AS source_lost_network,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/missing') AS target_lost_missing,
        CASE WHEN count(*) FILTER (WHERE series.measure = 'attestation_votes_lost/target/late') > 0 THEN sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/late')
            ELSE 0 * sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/missing') END AS target_lost_late, -- cannot be: 0 once the others are known
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/wrong') AS target_lost_wrong,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/target/network') AS target_lost_network,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/head/missing') AS head_lost_missing,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/head/late') AS head_lost_late,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/head/wrong') AS head_lost_wrong,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_votes_lost/head/network') AS head_lost_network,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_inclusion_delay_slots') AS inclusion_delay_slots,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_stake_possible_gwei') AS stake_possible_gwei,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_stake_achievable_gwei') AS stake_achievable_gwei,
        sum(sums.total) FILTER (WHERE series.measure = 'attestation_stake_earned_gwei') AS stake_earned_gwei,
        sum(sums.total) FILTER (WHERE series.measure = 'blocks_expected') AS blocks_expected,
        sum(sums.total) FILTER (WHERE series.measure = 'blocks_proposed') AS blocks_proposed,
        sum(sums.total) FILTER (WHERE series.measure = 'sync_committee_expected') AS sync_expected,
        sum(sums.total) FILTER (WHERE series.measure = 'sync_committee_included') AS sync_included,
        sum(sums.total) FILTER (WHERE series.measure = 'slashings/proposer') AS proposer_slashings,
        sum(sums.total) FILTER (WHERE series.measure = 'slashings/attester') AS attester_slashings,
        count(*) AS series,
        min(series.id) FILTER (WHERE series.measure = 'balance_gwei') AS balance
    FROM series
    CROSS JOIN LATERAL (
        SELECT count(*) AS stored, count(good.whole) + count(good.kibi) AS windows,
            CASE WHEN count(*) = count(good.whole) + count(good.kibi) THEN coalesce(sum(good.whole), 0) + 1024 * coalesce(sum(good.kibi), 0) END AS total
        FROM (
            SELECT
                CASE WHEN samples.value BETWEEN -9e18 AND 9e18 THEN samples.value::bigint END AS whole,
                -- A long window's stake outgrows a bigint. Doubles of that size are multiples of 1024.
                CASE WHEN samples.value > 9e18 AND samples.value <= 9e21 AND series.measure LIKE 'attestation\_stake\_%' THEN (samples.value / 1024)::bigint END AS kibi
            FROM samples
            WHERE samples.series_id = series.id AND samples.window_start >= sum_day.begins AND samples.window_start < sum_day.ends
        ) AS good
    ) AS sums
    WHERE series.subject_id = of_subject AND sums.stored > 0
) AS totals
LEFT JOIN LATERAL (
    SELECT CASE WHEN samples.value BETWEEN -9e18 AND 9e18 THEN samples.value::bigint END AS whole
    FROM samples
    WHERE samples.series_id = totals.balance AND samples.window_start >= sum_day.begins AND samples.window_start < sum_day.ends
    ORDER BY samples.window_start DESC
    LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT CASE WHEN samples.value BETWEEN -9e18 AND 9e18 THEN samples.value::bigint END AS whole
    FROM samples
    WHERE samples.series_id = totals.balance
        AND samples.window_start >= sum_day.begins - interval '24 hours' AND samples.window_start < sum_day.begins
    ORDER BY samples.window_start DESC
    LIMIT 1
) AS before ON true
WHERE totals.series > 0;
END;
-- +goose StatementEnd

-- Months sum such days, and ratios multiply what they hold.
CREATE OR REPLACE VIEW network_daily AS
SELECT
    day, network,
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
    CASE
        WHEN stake_possible_gwei IS NOT NULL THEN stake_earned_gwei::float8 / NULLIF(stake_possible_gwei, 0)::float8
        ELSE (14 * source_votes::numeric + 26 * target_votes::numeric + 14 * head_votes::numeric)::float8 / NULLIF(54 * attestations_expected::numeric, 0)::float8
    END AS effectiveness,
    CASE
        WHEN stake_achievable_gwei IS NOT NULL THEN stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8
        ELSE (14 * source_votes::numeric + 26 * target_votes::numeric + 14 * head_votes::numeric)::float8
            / NULLIF(54 * attestations_expected::numeric - 14 * source_lost_network::numeric - 26 * target_lost_network::numeric - 14 * head_lost_network::numeric, 0)::float8
    END AS own_effectiveness,
    blocks_expected,
    blocks_proposed,
    sync_expected,
    sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei,
    proposer_slashings, attester_slashings
FROM all_days
WHERE kind = 'network';

CREATE OR REPLACE VIEW validator_monthly AS
SELECT
    month, network, validator_index,
    windows,
    CASE WHEN attestations_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN attestations_expected::bigint END AS attestations_expected,
    CASE WHEN attestations_included BETWEEN -9223372036854775808 AND 9223372036854775807 THEN attestations_included::bigint END AS attestations_included,
    CASE WHEN source_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_votes::bigint END AS source_votes,
    CASE WHEN target_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_votes::bigint END AS target_votes,
    CASE WHEN head_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_votes::bigint END AS head_votes,
    CASE WHEN source_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_missing::bigint END AS source_lost_missing,
    CASE WHEN source_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_late::bigint END AS source_lost_late,
    CASE WHEN source_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_wrong::bigint END AS source_lost_wrong,
    CASE WHEN source_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_network::bigint END AS source_lost_network,
    CASE WHEN target_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_missing::bigint END AS target_lost_missing,
    CASE WHEN target_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_late::bigint END AS target_lost_late,
    CASE WHEN target_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_wrong::bigint END AS target_lost_wrong,
    CASE WHEN target_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_network::bigint END AS target_lost_network,
    CASE WHEN head_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_missing::bigint END AS head_lost_missing,
    CASE WHEN head_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_late::bigint END AS head_lost_late,
    CASE WHEN head_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_wrong::bigint END AS head_lost_wrong,
    CASE WHEN head_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_network::bigint END AS head_lost_network,
    CASE WHEN inclusion_delay_slots BETWEEN -9223372036854775808 AND 9223372036854775807 THEN inclusion_delay_slots::bigint END AS inclusion_delay_slots,
    stake_possible_gwei,
    stake_achievable_gwei,
    stake_earned_gwei,
    stake_earned_gwei::float8 / NULLIF(stake_possible_gwei, 0)::float8 AS effectiveness,
    stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8 AS own_effectiveness,
    CASE WHEN blocks_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN blocks_expected::bigint END AS blocks_expected,
    CASE WHEN blocks_proposed BETWEEN -9223372036854775808 AND 9223372036854775807 THEN blocks_proposed::bigint END AS blocks_proposed,
    CASE WHEN sync_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN sync_expected::bigint END AS sync_expected,
    CASE WHEN sync_included BETWEEN -9223372036854775808 AND 9223372036854775807 THEN sync_included::bigint END AS sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei
FROM (
    SELECT
        month, network, validator_index,
        sum(windows)::integer AS windows,
        sum(attestations_expected) AS attestations_expected,
        sum(attestations_included) AS attestations_included,
        sum(source_votes) AS source_votes,
        sum(target_votes) AS target_votes,
        sum(head_votes) AS head_votes,
        sum(source_lost_missing) AS source_lost_missing,
        sum(source_lost_late) AS source_lost_late,
        sum(source_lost_wrong) AS source_lost_wrong,
        sum(source_lost_network) AS source_lost_network,
        sum(target_lost_missing) AS target_lost_missing,
        sum(target_lost_late) AS target_lost_late,
        sum(target_lost_wrong) AS target_lost_wrong,
        sum(target_lost_network) AS target_lost_network,
        sum(head_lost_missing) AS head_lost_missing,
        sum(head_lost_late) AS head_lost_late,
        sum(head_lost_wrong) AS head_lost_wrong,
        sum(head_lost_network) AS head_lost_network,
        sum(inclusion_delay_slots) AS inclusion_delay_slots,
        sum(stake_possible_gwei) AS stake_possible_gwei,
        sum(stake_achievable_gwei) AS stake_achievable_gwei,
        sum(stake_earned_gwei) AS stake_earned_gwei,
        sum(blocks_expected) AS blocks_expected,
        sum(blocks_proposed) AS blocks_proposed,
        sum(sync_expected) AS sync_expected,
        sum(sync_included) AS sync_included,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_gwei,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1]::numeric
            - (array_agg(balance_gwei - balance_change_gwei ORDER BY day) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_change_gwei
    FROM all_days
    WHERE kind = 'validator'
    GROUP BY month, network, validator_index
) AS months;

CREATE OR REPLACE VIEW group_monthly AS
SELECT
    month, network, group_by, group_name,
    windows,
    CASE WHEN attestations_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN attestations_expected::bigint END AS attestations_expected,
    CASE WHEN attestations_included BETWEEN -9223372036854775808 AND 9223372036854775807 THEN attestations_included::bigint END AS attestations_included,
    CASE WHEN source_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_votes::bigint END AS source_votes,
    CASE WHEN target_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_votes::bigint END AS target_votes,
    CASE WHEN head_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_votes::bigint END AS head_votes,
    CASE WHEN source_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_missing::bigint END AS source_lost_missing,
    CASE WHEN source_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_late::bigint END AS source_lost_late,
    CASE WHEN source_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_wrong::bigint END AS source_lost_wrong,
    CASE WHEN source_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_network::bigint END AS source_lost_network,
    CASE WHEN target_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_missing::bigint END AS target_lost_missing,
    CASE WHEN target_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_late::bigint END AS target_lost_late,
    CASE WHEN target_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_wrong::bigint END AS target_lost_wrong,
    CASE WHEN target_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_network::bigint END AS target_lost_network,
    CASE WHEN head_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_missing::bigint END AS head_lost_missing,
    CASE WHEN head_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_late::bigint END AS head_lost_late,
    CASE WHEN head_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_wrong::bigint END AS head_lost_wrong,
    CASE WHEN head_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_network::bigint END AS head_lost_network,
    CASE WHEN inclusion_delay_slots BETWEEN -9223372036854775808 AND 9223372036854775807 THEN inclusion_delay_slots::bigint END AS inclusion_delay_slots,
    stake_possible_gwei,
    stake_achievable_gwei,
    stake_earned_gwei,
    stake_earned_gwei::float8 / NULLIF(stake_possible_gwei, 0)::float8 AS effectiveness,
    stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8 AS own_effectiveness,
    CASE WHEN blocks_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN blocks_expected::bigint END AS blocks_expected,
    CASE WHEN blocks_proposed BETWEEN -9223372036854775808 AND 9223372036854775807 THEN blocks_proposed::bigint END AS blocks_proposed,
    CASE WHEN sync_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN sync_expected::bigint END AS sync_expected,
    CASE WHEN sync_included BETWEEN -9223372036854775808 AND 9223372036854775807 THEN sync_included::bigint END AS sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei
FROM (
    SELECT
        month, network, group_by, group_name,
        sum(windows)::integer AS windows,
        sum(attestations_expected) AS attestations_expected,
        sum(attestations_included) AS attestations_included,
        sum(source_votes) AS source_votes,
        sum(target_votes) AS target_votes,
        sum(head_votes) AS head_votes,
        sum(source_lost_missing) AS source_lost_missing,
        sum(source_lost_late) AS source_lost_late,
        sum(source_lost_wrong) AS source_lost_wrong,
        sum(source_lost_network) AS source_lost_network,
        sum(target_lost_missing) AS target_lost_missing,
        sum(target_lost_late) AS target_lost_late,
        sum(target_lost_wrong) AS target_lost_wrong,
        sum(target_lost_network) AS target_lost_network,
        sum(head_lost_missing) AS head_lost_missing,
        sum(head_lost_late) AS head_lost_late,
        sum(head_lost_wrong) AS head_lost_wrong,
        sum(head_lost_network) AS head_lost_network,
        sum(inclusion_delay_slots) AS inclusion_delay_slots,
        sum(stake_possible_gwei) AS stake_possible_gwei,
        sum(stake_achievable_gwei) AS stake_achievable_gwei,
        sum(stake_earned_gwei) AS stake_earned_gwei,
        sum(blocks_expected) AS blocks_expected,
        sum(blocks_proposed) AS blocks_proposed,
        sum(sync_expected) AS sync_expected,
        sum(sync_included) AS sync_included,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_gwei,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1]::numeric
            - (array_agg(balance_gwei - balance_change_gwei ORDER BY day) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_change_gwei
    FROM all_days
    WHERE kind = 'group'
    GROUP BY month, network, group_by, group_name
) AS months;

CREATE OR REPLACE VIEW network_monthly AS
SELECT
    month, network,
    windows,
    CASE WHEN attestations_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN attestations_expected::bigint END AS attestations_expected,
    CASE WHEN attestations_included BETWEEN -9223372036854775808 AND 9223372036854775807 THEN attestations_included::bigint END AS attestations_included,
    CASE WHEN source_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_votes::bigint END AS source_votes,
    CASE WHEN target_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_votes::bigint END AS target_votes,
    CASE WHEN head_votes BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_votes::bigint END AS head_votes,
    CASE WHEN source_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_missing::bigint END AS source_lost_missing,
    CASE WHEN source_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_late::bigint END AS source_lost_late,
    CASE WHEN source_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_wrong::bigint END AS source_lost_wrong,
    CASE WHEN source_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN source_lost_network::bigint END AS source_lost_network,
    CASE WHEN target_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_missing::bigint END AS target_lost_missing,
    CASE WHEN target_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_late::bigint END AS target_lost_late,
    CASE WHEN target_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_wrong::bigint END AS target_lost_wrong,
    CASE WHEN target_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN target_lost_network::bigint END AS target_lost_network,
    CASE WHEN head_lost_missing BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_missing::bigint END AS head_lost_missing,
    CASE WHEN head_lost_late BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_late::bigint END AS head_lost_late,
    CASE WHEN head_lost_wrong BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_wrong::bigint END AS head_lost_wrong,
    CASE WHEN head_lost_network BETWEEN -9223372036854775808 AND 9223372036854775807 THEN head_lost_network::bigint END AS head_lost_network,
    CASE WHEN inclusion_delay_slots BETWEEN -9223372036854775808 AND 9223372036854775807 THEN inclusion_delay_slots::bigint END AS inclusion_delay_slots,
    stake_possible_gwei,
    stake_achievable_gwei,
    stake_earned_gwei,
    CASE
        WHEN stake_possible_gwei IS NOT NULL THEN stake_earned_gwei::float8 / NULLIF(stake_possible_gwei, 0)::float8
        ELSE (14 * source_votes + 26 * target_votes + 14 * head_votes)::float8 / NULLIF(54 * attestations_expected, 0)::float8
    END AS effectiveness,
    CASE
        WHEN stake_achievable_gwei IS NOT NULL THEN stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8
        ELSE (14 * source_votes + 26 * target_votes + 14 * head_votes)::float8
            / NULLIF(54 * attestations_expected - 14 * source_lost_network - 26 * target_lost_network - 14 * head_lost_network, 0)::float8
    END AS own_effectiveness,
    CASE WHEN blocks_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN blocks_expected::bigint END AS blocks_expected,
    CASE WHEN blocks_proposed BETWEEN -9223372036854775808 AND 9223372036854775807 THEN blocks_proposed::bigint END AS blocks_proposed,
    CASE WHEN sync_expected BETWEEN -9223372036854775808 AND 9223372036854775807 THEN sync_expected::bigint END AS sync_expected,
    CASE WHEN sync_included BETWEEN -9223372036854775808 AND 9223372036854775807 THEN sync_included::bigint END AS sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei,
    CASE WHEN proposer_slashings BETWEEN -9223372036854775808 AND 9223372036854775807 THEN proposer_slashings::bigint END AS proposer_slashings,
    CASE WHEN attester_slashings BETWEEN -9223372036854775808 AND 9223372036854775807 THEN attester_slashings::bigint END AS attester_slashings
FROM (
    SELECT
        month, network,
        sum(windows)::integer AS windows,
        sum(attestations_expected) AS attestations_expected,
        sum(attestations_included) AS attestations_included,
        sum(source_votes) AS source_votes,
        sum(target_votes) AS target_votes,
        sum(head_votes) AS head_votes,
        sum(source_lost_missing) AS source_lost_missing,
        sum(source_lost_late) AS source_lost_late,
        sum(source_lost_wrong) AS source_lost_wrong,
        sum(source_lost_network) AS source_lost_network,
        sum(target_lost_missing) AS target_lost_missing,
        sum(target_lost_late) AS target_lost_late,
        sum(target_lost_wrong) AS target_lost_wrong,
        sum(target_lost_network) AS target_lost_network,
        sum(head_lost_missing) AS head_lost_missing,
        sum(head_lost_late) AS head_lost_late,
        sum(head_lost_wrong) AS head_lost_wrong,
        sum(head_lost_network) AS head_lost_network,
        sum(inclusion_delay_slots) AS inclusion_delay_slots,
        sum(stake_possible_gwei) AS stake_possible_gwei,
        sum(stake_achievable_gwei) AS stake_achievable_gwei,
        sum(stake_earned_gwei) AS stake_earned_gwei,
        sum(blocks_expected) AS blocks_expected,
        sum(blocks_proposed) AS blocks_proposed,
        sum(sync_expected) AS sync_expected,
        sum(sync_included) AS sync_included,
        sum(proposer_slashings) AS proposer_slashings,
        sum(attester_slashings) AS attester_slashings,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_gwei,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1]::numeric
            - (array_agg(balance_gwei - balance_change_gwei ORDER BY day) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_change_gwei
    FROM all_days
    WHERE kind = 'network'
    GROUP BY month, network
) AS months;

-- The newest window is looked for among these series, whenever somebody asks whether the database is ready.
CREATE INDEX series_expected ON series (id) WHERE measure = 'attestations_expected';

-- +goose Down

DROP INDEX series_expected;
