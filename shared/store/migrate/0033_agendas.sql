-- +goose NO TRANSACTION
-- The indexes are built without keeping anybody from writing, so this is not one transaction. Each
-- statement can run again, should the one after it fail.

-- +goose Up
-- {"channel": "email", "at": "08:00", "days": ["mo"]}; null: its user wants no agenda.
alter table preferences add column if not exists agenda jsonb;

-- An agenda is one message to a user on one local day. A user has one that is armed, and the settled
-- ones of earlier days.
create table if not exists agendas (
    id                 uuid primary key,
    user_id            text        not null references users (id) on delete cascade,
    day                date        not null,
    fire_at            timestamptz not null,
    -- told: its deliveries are planned. empty: there was nothing to tell. missed: its day was over.
    -- cancelled: it was switched off, or moved to another day.
    state              text        not null check (state in ('armed', 'told', 'empty', 'missed', 'cancelled')),
    -- Grows, under the lock of the user's row, each time it is armed.
    revision           bigint      not null check (revision > 0),
    -- The revision that Dapr is known to hold a job for, and when it is to be asked next.
    confirmed_revision bigint,
    next_schedule_at   timestamptz,
    -- The release of the time zones that fire_at was derived from.
    derived_tz         text collate "C" not null,
    settled_at         timestamptz,
    -- Each local day is told once.
    unique (user_id, day),
    constraint settled_has_a_time check ((state = 'armed') = (settled_at is null))
);

create unique index if not exists agendas_armed on agendas (user_id) where state = 'armed';
create index if not exists agendas_due on agendas (fire_at) where state = 'armed';
create index if not exists agendas_pending on agendas (fire_at) where state = 'armed' and confirmed_revision is distinct from revision;
create index if not exists agendas_by_release on agendas (derived_tz, id) where state = 'armed';
create index if not exists agendas_settled on agendas (settled_at) where settled_at is not null;

-- The agenda that a delivery carries. Planned once: telling an agenda twice can't plan twice.
alter table deliveries add column if not exists agenda_id uuid;
drop index concurrently if exists deliveries_of_agenda;
create unique index concurrently deliveries_of_agenda on deliveries (agenda_id, channel, md5(target)) where agenda_id is not null;

-- What is open, by due date: what an agenda lists and counts.
drop index concurrently if exists tasks_open_by_due;
create index concurrently tasks_open_by_due on tasks (user_id, due_date, id) where deleted_at is null and not completed and due_date is not null;

-- +goose Down
drop index concurrently if exists tasks_open_by_due;
-- What an earlier version would take for a verification goes.
delete from deliveries where agenda_id is not null;
alter table deliveries drop column if exists agenda_id;
drop table if exists agendas;
alter table preferences drop column if exists agenda;
