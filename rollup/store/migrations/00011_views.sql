-- +goose Up

CREATE VIEW validator_daily AS
SELECT
    day, network, validator_index,
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
    stake_earned_gwei::float8 / NULLIF(stake_possible_gwei, 0)::float8 AS effectiveness,
    stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8 AS own_effectiveness,
    blocks_expected,
    blocks_proposed,
    sync_expected,
    sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei
FROM all_days
WHERE kind = 'validator';
COMMENT ON VIEW validator_daily IS 'One watched validator''s day.';
COMMENT ON COLUMN validator_daily.day IS 'The beacon chain''s day: the UTC date on which it begins. A day begins at the time of day of the genesis.';
COMMENT ON COLUMN validator_daily.network IS 'Name of the network.';
COMMENT ON COLUMN validator_daily.validator_index IS 'Index of the validator, from 0 on.';
COMMENT ON COLUMN validator_daily.windows IS 'Whole windows that are stored of the day. Fewer than it has windows: the day is not over, or the rest was never received.';
COMMENT ON COLUMN validator_daily.attestations_expected IS 'Attestations that were due.';
COMMENT ON COLUMN validator_daily.attestations_included IS 'Attestations that were included.';
COMMENT ON COLUMN validator_daily.source_votes IS 'Timely and correct source votes.';
COMMENT ON COLUMN validator_daily.target_votes IS 'Timely and correct target votes.';
COMMENT ON COLUMN validator_daily.head_votes IS 'Timely and correct head votes.';
COMMENT ON COLUMN validator_daily.source_lost_missing IS 'Lost source votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN validator_daily.source_lost_late IS 'Lost source votes that were included too late, by own fault.';
COMMENT ON COLUMN validator_daily.source_lost_wrong IS 'Lost source votes that voted for something else, by own fault.';
COMMENT ON COLUMN validator_daily.source_lost_network IS 'Lost source votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN validator_daily.target_lost_missing IS 'Lost target votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN validator_daily.target_lost_late IS 'Lost target votes that were included too late, by own fault.';
COMMENT ON COLUMN validator_daily.target_lost_wrong IS 'Lost target votes that voted for something else, by own fault.';
COMMENT ON COLUMN validator_daily.target_lost_network IS 'Lost target votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN validator_daily.head_lost_missing IS 'Lost head votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN validator_daily.head_lost_late IS 'Lost head votes that were included too late, by own fault.';
COMMENT ON COLUMN validator_daily.head_lost_wrong IS 'Lost head votes that voted for something else, by own fault.';
COMMENT ON COLUMN validator_daily.head_lost_network IS 'Lost head votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN validator_daily.inclusion_delay_slots IS 'Slots from duty to inclusion, at least 1 each, summed over attestations_included.';
COMMENT ON COLUMN validator_daily.stake_possible_gwei IS 'Effective balance behind the attestations that were due, in gwei.';
COMMENT ON COLUMN validator_daily.stake_achievable_gwei IS 'The same, weighted by the votes not lost to the network.';
COMMENT ON COLUMN validator_daily.stake_earned_gwei IS 'The same, weighted by the votes earned.';
COMMENT ON COLUMN validator_daily.effectiveness IS 'stake_earned_gwei / stake_possible_gwei, 0 to 1; null when nothing was possible.';
COMMENT ON COLUMN validator_daily.own_effectiveness IS 'stake_earned_gwei / stake_achievable_gwei, 0 to 1: the network''s faults left out; null when nothing was achievable.';
COMMENT ON COLUMN validator_daily.blocks_expected IS 'Block proposals that were due.';
COMMENT ON COLUMN validator_daily.blocks_proposed IS 'Block proposals that are on the canonical chain.';
COMMENT ON COLUMN validator_daily.sync_expected IS 'Sync committee votes that were due.';
COMMENT ON COLUMN validator_daily.sync_included IS 'Sync committee votes that were included.';
COMMENT ON COLUMN validator_daily.balance_gwei IS 'Balance in gwei at the end of the newest stored window of the day; null where no window told it.';
COMMENT ON COLUMN validator_daily.balance_change_gwei IS 'balance_gwei less the one of the day before, in gwei; null where that is not known. Deposits, withdrawals and validators that joined or left are in it.';

CREATE VIEW group_daily AS
SELECT
    day, network, group_by, group_name,
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
    stake_earned_gwei::float8 / NULLIF(stake_possible_gwei, 0)::float8 AS effectiveness,
    stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8 AS own_effectiveness,
    blocks_expected,
    blocks_proposed,
    sync_expected,
    sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei
FROM all_days
WHERE kind = 'group';
COMMENT ON VIEW group_daily IS 'One group''s day. Groups of different group_by overlap: never sum over group_by.';
COMMENT ON COLUMN group_daily.day IS 'The beacon chain''s day: the UTC date on which it begins. A day begins at the time of day of the genesis.';
COMMENT ON COLUMN group_daily.network IS 'Name of the network.';
COMMENT ON COLUMN group_daily.group_by IS 'Label of the watch list that makes the groups, or all.';
COMMENT ON COLUMN group_daily.group_name IS 'Value of that label, or all. Not named group, which SQL reserves.';
COMMENT ON COLUMN group_daily.windows IS 'Whole windows that are stored of the day. Fewer than it has windows: the day is not over, or the rest was never received.';
COMMENT ON COLUMN group_daily.attestations_expected IS 'Attestations that were due.';
COMMENT ON COLUMN group_daily.attestations_included IS 'Attestations that were included.';
COMMENT ON COLUMN group_daily.source_votes IS 'Timely and correct source votes.';
COMMENT ON COLUMN group_daily.target_votes IS 'Timely and correct target votes.';
COMMENT ON COLUMN group_daily.head_votes IS 'Timely and correct head votes.';
COMMENT ON COLUMN group_daily.source_lost_missing IS 'Lost source votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN group_daily.source_lost_late IS 'Lost source votes that were included too late, by own fault.';
COMMENT ON COLUMN group_daily.source_lost_wrong IS 'Lost source votes that voted for something else, by own fault.';
COMMENT ON COLUMN group_daily.source_lost_network IS 'Lost source votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN group_daily.target_lost_missing IS 'Lost target votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN group_daily.target_lost_late IS 'Lost target votes that were included too late, by own fault.';
COMMENT ON COLUMN group_daily.target_lost_wrong IS 'Lost target votes that voted for something else, by own fault.';
COMMENT ON COLUMN group_daily.target_lost_network IS 'Lost target votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN group_daily.head_lost_missing IS 'Lost head votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN group_daily.head_lost_late IS 'Lost head votes that were included too late, by own fault.';
COMMENT ON COLUMN group_daily.head_lost_wrong IS 'Lost head votes that voted for something else, by own fault.';
COMMENT ON COLUMN group_daily.head_lost_network IS 'Lost head votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN group_daily.inclusion_delay_slots IS 'Slots from duty to inclusion, at least 1 each, summed over attestations_included.';
COMMENT ON COLUMN group_daily.stake_possible_gwei IS 'Effective balance behind the attestations that were due, in gwei.';
COMMENT ON COLUMN group_daily.stake_achievable_gwei IS 'The same, weighted by the votes not lost to the network.';
COMMENT ON COLUMN group_daily.stake_earned_gwei IS 'The same, weighted by the votes earned.';
COMMENT ON COLUMN group_daily.effectiveness IS 'stake_earned_gwei / stake_possible_gwei, 0 to 1; null when nothing was possible.';
COMMENT ON COLUMN group_daily.own_effectiveness IS 'stake_earned_gwei / stake_achievable_gwei, 0 to 1: the network''s faults left out; null when nothing was achievable.';
COMMENT ON COLUMN group_daily.blocks_expected IS 'Block proposals that were due.';
COMMENT ON COLUMN group_daily.blocks_proposed IS 'Block proposals that are on the canonical chain.';
COMMENT ON COLUMN group_daily.sync_expected IS 'Sync committee votes that were due.';
COMMENT ON COLUMN group_daily.sync_included IS 'Sync committee votes that were included.';
COMMENT ON COLUMN group_daily.balance_gwei IS 'Balance in gwei at the end of the newest stored window of the day; null where no window told it.';
COMMENT ON COLUMN group_daily.balance_change_gwei IS 'balance_gwei less the one of the day before, in gwei; null where that is not known. Deposits, withdrawals and validators that joined or left are in it.';

CREATE VIEW network_daily AS
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
        ELSE (14 * source_votes + 26 * target_votes + 14 * head_votes)::float8 / NULLIF(54 * attestations_expected, 0)::float8
    END AS effectiveness,
    CASE
        WHEN stake_achievable_gwei IS NOT NULL THEN stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8
        ELSE (14 * source_votes + 26 * target_votes + 14 * head_votes)::float8
            / NULLIF(54 * attestations_expected - 14 * source_lost_network - 26 * target_lost_network - 14 * head_lost_network, 0)::float8
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
COMMENT ON VIEW network_daily IS 'The day of all validators of the network.';
COMMENT ON COLUMN network_daily.day IS 'The beacon chain''s day: the UTC date on which it begins. A day begins at the time of day of the genesis.';
COMMENT ON COLUMN network_daily.network IS 'Name of the network.';
COMMENT ON COLUMN network_daily.windows IS 'Whole windows that are stored of the day. Fewer than it has windows: the day is not over, or the rest was never received.';
COMMENT ON COLUMN network_daily.attestations_expected IS 'Attestations that were due.';
COMMENT ON COLUMN network_daily.attestations_included IS 'Attestations that were included.';
COMMENT ON COLUMN network_daily.source_votes IS 'Timely and correct source votes.';
COMMENT ON COLUMN network_daily.target_votes IS 'Timely and correct target votes.';
COMMENT ON COLUMN network_daily.head_votes IS 'Timely and correct head votes.';
COMMENT ON COLUMN network_daily.source_lost_missing IS 'Lost source votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN network_daily.source_lost_late IS 'Lost source votes that were included too late, by own fault.';
COMMENT ON COLUMN network_daily.source_lost_wrong IS 'Lost source votes that voted for something else, by own fault.';
COMMENT ON COLUMN network_daily.source_lost_network IS 'Lost source votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN network_daily.target_lost_missing IS 'Lost target votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN network_daily.target_lost_late IS 'Lost target votes that were included too late, by own fault.';
COMMENT ON COLUMN network_daily.target_lost_wrong IS 'Lost target votes that voted for something else, by own fault.';
COMMENT ON COLUMN network_daily.target_lost_network IS 'Lost target votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN network_daily.head_lost_missing IS 'Lost head votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN network_daily.head_lost_late IS 'Lost head votes that were included too late, by own fault.';
COMMENT ON COLUMN network_daily.head_lost_wrong IS 'Lost head votes that voted for something else, by own fault.';
COMMENT ON COLUMN network_daily.head_lost_network IS 'Lost head votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN network_daily.inclusion_delay_slots IS 'Slots from duty to inclusion, at least 1 each, summed over attestations_included.';
COMMENT ON COLUMN network_daily.stake_possible_gwei IS 'Effective balance behind the attestations that were due, in gwei.';
COMMENT ON COLUMN network_daily.stake_achievable_gwei IS 'The same, weighted by the votes not lost to the network.';
COMMENT ON COLUMN network_daily.stake_earned_gwei IS 'The same, weighted by the votes earned.';
COMMENT ON COLUMN network_daily.effectiveness IS 'stake_earned_gwei / stake_possible_gwei, 0 to 1; null when nothing was possible. Where stake is not known, the same of vote counts, with source weighing 14, target 26, head 14 of 54.';
COMMENT ON COLUMN network_daily.own_effectiveness IS 'stake_earned_gwei / stake_achievable_gwei, 0 to 1: the network''s faults left out; null when nothing was achievable. Where stake is not known, the same of vote counts, with source weighing 14, target 26, head 14 of 54.';
COMMENT ON COLUMN network_daily.blocks_expected IS 'Block proposals that were due.';
COMMENT ON COLUMN network_daily.blocks_proposed IS 'Block proposals that are on the canonical chain.';
COMMENT ON COLUMN network_daily.sync_expected IS 'Sync committee votes that were due.';
COMMENT ON COLUMN network_daily.sync_included IS 'Sync committee votes that were included.';
COMMENT ON COLUMN network_daily.balance_gwei IS 'Balance in gwei at the end of the newest stored window of the day; null where no window told it.';
COMMENT ON COLUMN network_daily.balance_change_gwei IS 'balance_gwei less the one of the day before, in gwei; null where that is not known. Deposits, withdrawals and validators that joined or left are in it.';
COMMENT ON COLUMN network_daily.proposer_slashings IS 'Proposer slashings in canonical blocks.';
COMMENT ON COLUMN network_daily.attester_slashings IS 'Attester slashings in canonical blocks.';

CREATE VIEW validator_monthly AS
SELECT
    month, network, validator_index,
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
    stake_earned_gwei::float8 / NULLIF(stake_possible_gwei, 0)::float8 AS effectiveness,
    stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8 AS own_effectiveness,
    blocks_expected,
    blocks_proposed,
    sync_expected,
    sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei
FROM (
    SELECT
        month, network, validator_index,
        sum(windows)::integer AS windows,
        sum(attestations_expected)::bigint AS attestations_expected,
        sum(attestations_included)::bigint AS attestations_included,
        sum(source_votes)::bigint AS source_votes,
        sum(target_votes)::bigint AS target_votes,
        sum(head_votes)::bigint AS head_votes,
        sum(source_lost_missing)::bigint AS source_lost_missing,
        sum(source_lost_late)::bigint AS source_lost_late,
        sum(source_lost_wrong)::bigint AS source_lost_wrong,
        sum(source_lost_network)::bigint AS source_lost_network,
        sum(target_lost_missing)::bigint AS target_lost_missing,
        sum(target_lost_late)::bigint AS target_lost_late,
        sum(target_lost_wrong)::bigint AS target_lost_wrong,
        sum(target_lost_network)::bigint AS target_lost_network,
        sum(head_lost_missing)::bigint AS head_lost_missing,
        sum(head_lost_late)::bigint AS head_lost_late,
        sum(head_lost_wrong)::bigint AS head_lost_wrong,
        sum(head_lost_network)::bigint AS head_lost_network,
        sum(inclusion_delay_slots)::bigint AS inclusion_delay_slots,
        sum(stake_possible_gwei) AS stake_possible_gwei,
        sum(stake_achievable_gwei) AS stake_achievable_gwei,
        sum(stake_earned_gwei) AS stake_earned_gwei,
        sum(blocks_expected)::bigint AS blocks_expected,
        sum(blocks_proposed)::bigint AS blocks_proposed,
        sum(sync_expected)::bigint AS sync_expected,
        sum(sync_included)::bigint AS sync_included,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_gwei,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1]
            - (array_agg(balance_gwei - balance_change_gwei ORDER BY day) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_change_gwei
    FROM all_days
    WHERE kind = 'validator'
    GROUP BY month, network, validator_index
) AS months;
COMMENT ON VIEW validator_monthly IS 'One watched validator''s month: the sums of its days.';
COMMENT ON COLUMN validator_monthly.month IS 'First date of the calendar month; its days are those of the view of days.';
COMMENT ON COLUMN validator_monthly.network IS 'Name of the network.';
COMMENT ON COLUMN validator_monthly.validator_index IS 'Index of the validator, from 0 on.';
COMMENT ON COLUMN validator_monthly.windows IS 'Whole windows that are stored of the month. Fewer than it has windows: the month is not over, or the rest was never received.';
COMMENT ON COLUMN validator_monthly.attestations_expected IS 'Attestations that were due.';
COMMENT ON COLUMN validator_monthly.attestations_included IS 'Attestations that were included.';
COMMENT ON COLUMN validator_monthly.source_votes IS 'Timely and correct source votes.';
COMMENT ON COLUMN validator_monthly.target_votes IS 'Timely and correct target votes.';
COMMENT ON COLUMN validator_monthly.head_votes IS 'Timely and correct head votes.';
COMMENT ON COLUMN validator_monthly.source_lost_missing IS 'Lost source votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN validator_monthly.source_lost_late IS 'Lost source votes that were included too late, by own fault.';
COMMENT ON COLUMN validator_monthly.source_lost_wrong IS 'Lost source votes that voted for something else, by own fault.';
COMMENT ON COLUMN validator_monthly.source_lost_network IS 'Lost source votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN validator_monthly.target_lost_missing IS 'Lost target votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN validator_monthly.target_lost_late IS 'Lost target votes that were included too late, by own fault.';
COMMENT ON COLUMN validator_monthly.target_lost_wrong IS 'Lost target votes that voted for something else, by own fault.';
COMMENT ON COLUMN validator_monthly.target_lost_network IS 'Lost target votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN validator_monthly.head_lost_missing IS 'Lost head votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN validator_monthly.head_lost_late IS 'Lost head votes that were included too late, by own fault.';
COMMENT ON COLUMN validator_monthly.head_lost_wrong IS 'Lost head votes that voted for something else, by own fault.';
COMMENT ON COLUMN validator_monthly.head_lost_network IS 'Lost head votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN validator_monthly.inclusion_delay_slots IS 'Slots from duty to inclusion, at least 1 each, summed over attestations_included.';
COMMENT ON COLUMN validator_monthly.stake_possible_gwei IS 'Effective balance behind the attestations that were due, in gwei.';
COMMENT ON COLUMN validator_monthly.stake_achievable_gwei IS 'The same, weighted by the votes not lost to the network.';
COMMENT ON COLUMN validator_monthly.stake_earned_gwei IS 'The same, weighted by the votes earned.';
COMMENT ON COLUMN validator_monthly.effectiveness IS 'stake_earned_gwei / stake_possible_gwei, 0 to 1; null when nothing was possible.';
COMMENT ON COLUMN validator_monthly.own_effectiveness IS 'stake_earned_gwei / stake_achievable_gwei, 0 to 1: the network''s faults left out; null when nothing was achievable.';
COMMENT ON COLUMN validator_monthly.blocks_expected IS 'Block proposals that were due.';
COMMENT ON COLUMN validator_monthly.blocks_proposed IS 'Block proposals that are on the canonical chain.';
COMMENT ON COLUMN validator_monthly.sync_expected IS 'Sync committee votes that were due.';
COMMENT ON COLUMN validator_monthly.sync_included IS 'Sync committee votes that were included.';
COMMENT ON COLUMN validator_monthly.balance_gwei IS 'Balance in gwei at the end of the newest stored window of the month; null where no window told it.';
COMMENT ON COLUMN validator_monthly.balance_change_gwei IS 'balance_gwei less the balance at the end of the last day of the month before, in gwei; null where that is not known. Deposits, withdrawals and validators that joined or left are in it.';

CREATE VIEW group_monthly AS
SELECT
    month, network, group_by, group_name,
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
    stake_earned_gwei::float8 / NULLIF(stake_possible_gwei, 0)::float8 AS effectiveness,
    stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8 AS own_effectiveness,
    blocks_expected,
    blocks_proposed,
    sync_expected,
    sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei
FROM (
    SELECT
        month, network, group_by, group_name,
        sum(windows)::integer AS windows,
        sum(attestations_expected)::bigint AS attestations_expected,
        sum(attestations_included)::bigint AS attestations_included,
        sum(source_votes)::bigint AS source_votes,
        sum(target_votes)::bigint AS target_votes,
        sum(head_votes)::bigint AS head_votes,
        sum(source_lost_missing)::bigint AS source_lost_missing,
        sum(source_lost_late)::bigint AS source_lost_late,
        sum(source_lost_wrong)::bigint AS source_lost_wrong,
        sum(source_lost_network)::bigint AS source_lost_network,
        sum(target_lost_missing)::bigint AS target_lost_missing,
        sum(target_lost_late)::bigint AS target_lost_late,
        sum(target_lost_wrong)::bigint AS target_lost_wrong,
        sum(target_lost_network)::bigint AS target_lost_network,
        sum(head_lost_missing)::bigint AS head_lost_missing,
        sum(head_lost_late)::bigint AS head_lost_late,
        sum(head_lost_wrong)::bigint AS head_lost_wrong,
        sum(head_lost_network)::bigint AS head_lost_network,
        sum(inclusion_delay_slots)::bigint AS inclusion_delay_slots,
        sum(stake_possible_gwei) AS stake_possible_gwei,
        sum(stake_achievable_gwei) AS stake_achievable_gwei,
        sum(stake_earned_gwei) AS stake_earned_gwei,
        sum(blocks_expected)::bigint AS blocks_expected,
        sum(blocks_proposed)::bigint AS blocks_proposed,
        sum(sync_expected)::bigint AS sync_expected,
        sum(sync_included)::bigint AS sync_included,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_gwei,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1]
            - (array_agg(balance_gwei - balance_change_gwei ORDER BY day) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_change_gwei
    FROM all_days
    WHERE kind = 'group'
    GROUP BY month, network, group_by, group_name
) AS months;
COMMENT ON VIEW group_monthly IS 'One group''s month: the sums of its days. Groups of different group_by overlap: never sum over group_by.';
COMMENT ON COLUMN group_monthly.month IS 'First date of the calendar month; its days are those of the view of days.';
COMMENT ON COLUMN group_monthly.network IS 'Name of the network.';
COMMENT ON COLUMN group_monthly.group_by IS 'Label of the watch list that makes the groups, or all.';
COMMENT ON COLUMN group_monthly.group_name IS 'Value of that label, or all. Not named group, which SQL reserves.';
COMMENT ON COLUMN group_monthly.windows IS 'Whole windows that are stored of the month. Fewer than it has windows: the month is not over, or the rest was never received.';
COMMENT ON COLUMN group_monthly.attestations_expected IS 'Attestations that were due.';
COMMENT ON COLUMN group_monthly.attestations_included IS 'Attestations that were included.';
COMMENT ON COLUMN group_monthly.source_votes IS 'Timely and correct source votes.';
COMMENT ON COLUMN group_monthly.target_votes IS 'Timely and correct target votes.';
COMMENT ON COLUMN group_monthly.head_votes IS 'Timely and correct head votes.';
COMMENT ON COLUMN group_monthly.source_lost_missing IS 'Lost source votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN group_monthly.source_lost_late IS 'Lost source votes that were included too late, by own fault.';
COMMENT ON COLUMN group_monthly.source_lost_wrong IS 'Lost source votes that voted for something else, by own fault.';
COMMENT ON COLUMN group_monthly.source_lost_network IS 'Lost source votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN group_monthly.target_lost_missing IS 'Lost target votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN group_monthly.target_lost_late IS 'Lost target votes that were included too late, by own fault.';
COMMENT ON COLUMN group_monthly.target_lost_wrong IS 'Lost target votes that voted for something else, by own fault.';
COMMENT ON COLUMN group_monthly.target_lost_network IS 'Lost target votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN group_monthly.head_lost_missing IS 'Lost head votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN group_monthly.head_lost_late IS 'Lost head votes that were included too late, by own fault.';
COMMENT ON COLUMN group_monthly.head_lost_wrong IS 'Lost head votes that voted for something else, by own fault.';
COMMENT ON COLUMN group_monthly.head_lost_network IS 'Lost head votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN group_monthly.inclusion_delay_slots IS 'Slots from duty to inclusion, at least 1 each, summed over attestations_included.';
COMMENT ON COLUMN group_monthly.stake_possible_gwei IS 'Effective balance behind the attestations that were due, in gwei.';
COMMENT ON COLUMN group_monthly.stake_achievable_gwei IS 'The same, weighted by the votes not lost to the network.';
COMMENT ON COLUMN group_monthly.stake_earned_gwei IS 'The same, weighted by the votes earned.';
COMMENT ON COLUMN group_monthly.effectiveness IS 'stake_earned_gwei / stake_possible_gwei, 0 to 1; null when nothing was possible.';
COMMENT ON COLUMN group_monthly.own_effectiveness IS 'stake_earned_gwei / stake_achievable_gwei, 0 to 1: the network''s faults left out; null when nothing was achievable.';
COMMENT ON COLUMN group_monthly.blocks_expected IS 'Block proposals that were due.';
COMMENT ON COLUMN group_monthly.blocks_proposed IS 'Block proposals that are on the canonical chain.';
COMMENT ON COLUMN group_monthly.sync_expected IS 'Sync committee votes that were due.';
COMMENT ON COLUMN group_monthly.sync_included IS 'Sync committee votes that were included.';
COMMENT ON COLUMN group_monthly.balance_gwei IS 'Balance in gwei at the end of the newest stored window of the month; null where no window told it.';
COMMENT ON COLUMN group_monthly.balance_change_gwei IS 'balance_gwei less the balance at the end of the last day of the month before, in gwei; null where that is not known. Deposits, withdrawals and validators that joined or left are in it.';

CREATE VIEW network_monthly AS
SELECT
    month, network,
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
        ELSE (14 * source_votes + 26 * target_votes + 14 * head_votes)::float8 / NULLIF(54 * attestations_expected, 0)::float8
    END AS effectiveness,
    CASE
        WHEN stake_achievable_gwei IS NOT NULL THEN stake_earned_gwei::float8 / NULLIF(stake_achievable_gwei, 0)::float8
        ELSE (14 * source_votes + 26 * target_votes + 14 * head_votes)::float8
            / NULLIF(54 * attestations_expected - 14 * source_lost_network - 26 * target_lost_network - 14 * head_lost_network, 0)::float8
    END AS own_effectiveness,
    blocks_expected,
    blocks_proposed,
    sync_expected,
    sync_included,
    balance_gwei::numeric AS balance_gwei,
    balance_change_gwei::numeric AS balance_change_gwei,
    proposer_slashings, attester_slashings
FROM (
    SELECT
        month, network,
        sum(windows)::integer AS windows,
        sum(attestations_expected)::bigint AS attestations_expected,
        sum(attestations_included)::bigint AS attestations_included,
        sum(source_votes)::bigint AS source_votes,
        sum(target_votes)::bigint AS target_votes,
        sum(head_votes)::bigint AS head_votes,
        sum(source_lost_missing)::bigint AS source_lost_missing,
        sum(source_lost_late)::bigint AS source_lost_late,
        sum(source_lost_wrong)::bigint AS source_lost_wrong,
        sum(source_lost_network)::bigint AS source_lost_network,
        sum(target_lost_missing)::bigint AS target_lost_missing,
        sum(target_lost_late)::bigint AS target_lost_late,
        sum(target_lost_wrong)::bigint AS target_lost_wrong,
        sum(target_lost_network)::bigint AS target_lost_network,
        sum(head_lost_missing)::bigint AS head_lost_missing,
        sum(head_lost_late)::bigint AS head_lost_late,
        sum(head_lost_wrong)::bigint AS head_lost_wrong,
        sum(head_lost_network)::bigint AS head_lost_network,
        sum(inclusion_delay_slots)::bigint AS inclusion_delay_slots,
        sum(stake_possible_gwei) AS stake_possible_gwei,
        sum(stake_achievable_gwei) AS stake_achievable_gwei,
        sum(stake_earned_gwei) AS stake_earned_gwei,
        sum(blocks_expected)::bigint AS blocks_expected,
        sum(blocks_proposed)::bigint AS blocks_proposed,
        sum(sync_expected)::bigint AS sync_expected,
        sum(sync_included)::bigint AS sync_included,
        sum(proposer_slashings)::bigint AS proposer_slashings,
        sum(attester_slashings)::bigint AS attester_slashings,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_gwei,
        (array_agg(balance_gwei ORDER BY day DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1]
            - (array_agg(balance_gwei - balance_change_gwei ORDER BY day) FILTER (WHERE balance_gwei IS NOT NULL))[1] AS balance_change_gwei
    FROM all_days
    WHERE kind = 'network'
    GROUP BY month, network
) AS months;
COMMENT ON VIEW network_monthly IS 'The month of all validators of the network: the sums of its days.';
COMMENT ON COLUMN network_monthly.month IS 'First date of the calendar month; its days are those of the view of days.';
COMMENT ON COLUMN network_monthly.network IS 'Name of the network.';
COMMENT ON COLUMN network_monthly.windows IS 'Whole windows that are stored of the month. Fewer than it has windows: the month is not over, or the rest was never received.';
COMMENT ON COLUMN network_monthly.attestations_expected IS 'Attestations that were due.';
COMMENT ON COLUMN network_monthly.attestations_included IS 'Attestations that were included.';
COMMENT ON COLUMN network_monthly.source_votes IS 'Timely and correct source votes.';
COMMENT ON COLUMN network_monthly.target_votes IS 'Timely and correct target votes.';
COMMENT ON COLUMN network_monthly.head_votes IS 'Timely and correct head votes.';
COMMENT ON COLUMN network_monthly.source_lost_missing IS 'Lost source votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN network_monthly.source_lost_late IS 'Lost source votes that were included too late, by own fault.';
COMMENT ON COLUMN network_monthly.source_lost_wrong IS 'Lost source votes that voted for something else, by own fault.';
COMMENT ON COLUMN network_monthly.source_lost_network IS 'Lost source votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN network_monthly.target_lost_missing IS 'Lost target votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN network_monthly.target_lost_late IS 'Lost target votes that were included too late, by own fault.';
COMMENT ON COLUMN network_monthly.target_lost_wrong IS 'Lost target votes that voted for something else, by own fault.';
COMMENT ON COLUMN network_monthly.target_lost_network IS 'Lost target votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN network_monthly.head_lost_missing IS 'Lost head votes whose attestation was never included, by own fault.';
COMMENT ON COLUMN network_monthly.head_lost_late IS 'Lost head votes that were included too late, by own fault.';
COMMENT ON COLUMN network_monthly.head_lost_wrong IS 'Lost head votes that voted for something else, by own fault.';
COMMENT ON COLUMN network_monthly.head_lost_network IS 'Lost head votes that nobody could have earned, or that most others of the slot lost too.';
COMMENT ON COLUMN network_monthly.inclusion_delay_slots IS 'Slots from duty to inclusion, at least 1 each, summed over attestations_included.';
COMMENT ON COLUMN network_monthly.stake_possible_gwei IS 'Effective balance behind the attestations that were due, in gwei.';
COMMENT ON COLUMN network_monthly.stake_achievable_gwei IS 'The same, weighted by the votes not lost to the network.';
COMMENT ON COLUMN network_monthly.stake_earned_gwei IS 'The same, weighted by the votes earned.';
COMMENT ON COLUMN network_monthly.effectiveness IS 'stake_earned_gwei / stake_possible_gwei, 0 to 1; null when nothing was possible. Where stake is not known, the same of vote counts, with source weighing 14, target 26, head 14 of 54.';
COMMENT ON COLUMN network_monthly.own_effectiveness IS 'stake_earned_gwei / stake_achievable_gwei, 0 to 1: the network''s faults left out; null when nothing was achievable. Where stake is not known, the same of vote counts, with source weighing 14, target 26, head 14 of 54.';
COMMENT ON COLUMN network_monthly.blocks_expected IS 'Block proposals that were due.';
COMMENT ON COLUMN network_monthly.blocks_proposed IS 'Block proposals that are on the canonical chain.';
COMMENT ON COLUMN network_monthly.sync_expected IS 'Sync committee votes that were due.';
COMMENT ON COLUMN network_monthly.sync_included IS 'Sync committee votes that were included.';
COMMENT ON COLUMN network_monthly.balance_gwei IS 'Balance in gwei at the end of the newest stored window of the month; null where no window told it.';
COMMENT ON COLUMN network_monthly.balance_change_gwei IS 'balance_gwei less the balance at the end of the last day of the month before, in gwei; null where that is not known. Deposits, withdrawals and validators that joined or left are in it.';
COMMENT ON COLUMN network_monthly.proposer_slashings IS 'Proposer slashings in canonical blocks.';
COMMENT ON COLUMN network_monthly.attester_slashings IS 'Attester slashings in canonical blocks.';

-- +goose Down

DROP VIEW network_monthly;
DROP VIEW group_monthly;
DROP VIEW validator_monthly;
DROP VIEW network_daily;
DROP VIEW group_daily;
DROP VIEW validator_daily;
