-- +goose NO TRANSACTION
-- Not one transaction, because indexes are built without blocking writers. Each statement can be run
-- again.

-- +goose Up
-- {"channel": "email", "at": "08:00", "days": ["mo"]}; null: its user wants no agenda.
alter table preferences add column if not exists agenda jsonb;

-- An agenda is one message to a user on one local day. A user has at most one that is armed, and
-- those of earlier days.
create table if not exists agendas (
    id                 uuid primary key,
    user_id            text        not null references users (id) on delete cascade,
    day                date        not null,
    fire_at            timestamptz not null,
    -- told: its deliveries are planned. empty: there was nothing to tell. missed: it was too late
    -- to tell it. cancelled: it was switched off, or moved to another day.
    state              text        not null check (state in ('armed', 'told', 'empty', 'missed', 'cancelled')),
    -- Increases each time the agenda is armed, under the lock of the user's row.
    revision           bigint      not null check (revision > 0),
    -- The revision whose job Dapr has confirmed, and when the sweep may try again to schedule it.
    confirmed_revision bigint,
    next_schedule_at   timestamptz,
    -- The release of the time zones by which fire_at was derived.
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

-- The agenda that a delivery carries. The index keeps an agenda's deliveries from being planned
-- twice.
alter table deliveries add column if not exists agenda_id uuid;
drop index concurrently if exists deliveries_of_agenda;
create unique index concurrently deliveries_of_agenda on deliveries (agenda_id, channel, md5(target)) where agenda_id is not null;

-- Open tasks by due date: an agenda lists and counts these.
drop index concurrently if exists tasks_open_by_due;
create index concurrently tasks_open_by_due on tasks (user_id, due_date, id) where deleted_at is null and not completed and due_date is not null;

-- +goose Down
drop index concurrently if exists tasks_open_by_due;
-- An earlier version would take these for verifications.
delete from deliveries where agenda_id is not null;
alter table deliveries drop column if exists agenda_id;
drop table if exists agendas;
alter table preferences drop column if exists agenda;
