-- +goose Up

-- What this replaces does the same, so taking this migration back leaves it in place: the definitions of
-- before fail on what they did not expect, which no version wants back.

-- A day may be closing, or a writer be in the middle, with locks that mean another thing from here on.
-- The first key is that of maintenance.
SELECT pg_advisory_xact_lock(8535006755287298050);
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

-- +goose Down

SELECT 1; -- see above
