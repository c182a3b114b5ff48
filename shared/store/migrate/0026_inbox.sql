-- +goose NO TRANSACTION
-- Not one transaction, so that no statement blocks others for long. Each statement can be run
-- again.

-- +goose Up
alter table notifications
    add column if not exists archived_at timestamptz,
    -- The number of the latest change of its state among its user's changes; 0: never changed.
    add column if not exists change_seq bigint not null default 0;

-- For counting an inbox without reading it. The number of notifications that a user ever got is
-- users.last_seq. This table counts those to subtract. So firing a reminder changes nothing here.
create table if not exists notification_counts (
    user_id     text primary key references users (id) on delete cascade,
    seen        bigint not null default 0, -- no longer unread: read, archived or deleted
    gone        bigint not null default 0, -- no longer in the inbox: archived or deleted
    last_change bigint not null default 0  -- the latest change_seq that was given out
);

-- A trigger keeps the counts, in the transaction that changes notifications. Several users' counts
-- are locked in the order of their ids.
-- +goose StatementBegin
create or replace function count_notifications() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        insert into notification_counts as c (user_id, seen, gone)
        select user_id, count(*) filter (where read_at is null and archived_at is null), count(*) filter (where archived_at is null)
        from old_rows group by user_id order by user_id
        on conflict (user_id) do update set seen = c.seen + excluded.seen, gone = c.gone + excluded.gone;
    else
        insert into notification_counts as c (user_id, seen, gone)
        select user_id, sum(case when read_at is null then n else 0 end), sum(n)
        from (
            select 1 as n, user_id, read_at from old_rows where archived_at is null
            union all
            select -1, user_id, read_at from new_rows where archived_at is null
        ) changes group by user_id order by user_id
        on conflict (user_id) do update set seen = c.seen + excluded.seen, gone = c.gone + excluded.gone;
    end if;
    return null;
end $$;
-- +goose StatementEnd

create or replace trigger counted_when_changed after update on notifications
    referencing old table as old_rows new table as new_rows for each statement execute function count_notifications();
create or replace trigger counted_when_deleted after delete on notifications
    referencing old table as old_rows for each statement execute function count_notifications();

-- Counts what was read or deleted so far, one user at a time. Other changes of a user's
-- notifications wait for this count, or this count for them.
-- +goose StatementBegin
do $$
declare u text;
begin
    for u in select id from users where last_seq > 0 order by id loop
        perform set_config('synchronous_commit', 'off', true); -- the next commits wait for the disk
        insert into notification_counts (user_id) values (u) on conflict do nothing;
        perform from notification_counts where user_id = u for no key update;
        update notification_counts c set seen = r.last_seq - r.unread, gone = r.last_seq - r.total
        from (
            select last_seq,
                (select count(*) from notifications where user_id = u and read_at is null and archived_at is null) as unread,
                (select count(*) from notifications where user_id = u and archived_at is null) as total
            from users where id = u
        ) r where c.user_id = u;
        commit;
    end loop;
end $$;
-- +goose StatementEnd

-- An index whose building broke off is left invalid, so it is dropped first.
drop index concurrently if exists notifications_inbox;
create index concurrently notifications_inbox on notifications (user_id, seq) where archived_at is null;
drop index concurrently if exists notifications_unread;
create index concurrently notifications_unread on notifications (user_id, seq) where read_at is null and archived_at is null;
drop index concurrently if exists notifications_archived;
create index concurrently notifications_archived on notifications (user_id, seq) where archived_at is not null;
drop index concurrently if exists notifications_changed;
create index concurrently notifications_changed on notifications (user_id, change_seq) where change_seq > 0;
drop index concurrently if exists notifications_done;
create index concurrently notifications_done on notifications (least(read_at, archived_at)) where least(read_at, archived_at) is not null;
drop index concurrently if exists notifications_read;

-- +goose Down
drop trigger if exists counted_when_deleted on notifications;
drop trigger if exists counted_when_changed on notifications;
drop function if exists count_notifications;
drop table if exists notification_counts;
alter table notifications drop column if exists archived_at, drop column if exists change_seq; -- and their indexes
create index if not exists notifications_read on notifications (read_at) where read_at is not null;
