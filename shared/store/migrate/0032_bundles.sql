-- +goose NO TRANSACTION
-- Not one transaction, because indexes are built without blocking writers. Each statement can be
-- run again.

-- +goose Up
-- How long a bundle gathers, in nanoseconds by channel: {"email": 900000000000}. null: no bundles.
alter table preferences add column if not exists bundle jsonb;

-- A bundle is one message with several reminders. Its delivery has the same id.
create table if not exists bundles (
    id        uuid primary key references deliveries (id) on delete cascade,
    user_id   text not null,
    channel   text not null check (channel in ('email', 'push', 'sms')),
    target    text not null,
    -- When its delivery was leased for the first time. From then on its reminders stay the same.
    frozen_at timestamptz
);

-- Each target has one open bundle. Adding a reminder locks its row, and so does freezing it.
create unique index if not exists bundles_open on bundles (user_id, channel, md5(target)) where frozen_at is null;

-- The bundle of a reminder's delivery. For a bundle's own delivery it is its id.
alter table deliveries add column if not exists bundle_id uuid;
alter table deliveries drop constraint if exists deliveries_state_check, add constraint deliveries_state_check
    check (state in ('planned', 'bundled', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown', 'unverified', 'suppressed', 'refused')) not valid;
alter table deliveries validate constraint deliveries_state_check;
alter table deliveries drop constraint if exists terminal_has_a_time, add constraint terminal_has_a_time
    check ((state in ('planned', 'bundled', 'sending', 'unknown')) = (finished_at is null)) not valid;
alter table deliveries validate constraint terminal_has_a_time;
alter table deliveries drop constraint if exists bundled_in_a_bundle, add constraint bundled_in_a_bundle check (state <> 'bundled' or bundle_id is not null) not valid;
alter table deliveries validate constraint bundled_in_a_bundle;
drop index concurrently if exists deliveries_of_bundle;
create index concurrently deliveries_of_bundle on deliveries (bundle_id) where bundle_id is not null;

-- +goose Down
-- Bundled deliveries are sent on their own.
update deliveries set state = 'planned', next_attempt_at = now() where state = 'bundled';
delete from deliveries where id = bundle_id;
drop table if exists bundles;
drop index concurrently if exists deliveries_of_bundle;
alter table deliveries drop constraint if exists bundled_in_a_bundle;
alter table deliveries drop constraint if exists terminal_has_a_time, add constraint terminal_has_a_time
    check ((state in ('planned', 'sending', 'unknown')) = (finished_at is null));
alter table deliveries drop constraint if exists deliveries_state_check, add constraint deliveries_state_check
    check (state in ('planned', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown', 'unverified', 'suppressed', 'refused'));
alter table preferences drop column if exists bundle;
alter table deliveries drop column if exists bundle_id;
