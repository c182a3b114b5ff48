-- +goose Up

alter table tasks
    -- The recurrence: rule, skip, from, except. It starts at due_local.
    add column recurrence        jsonb,
    -- Increases with each edit of the due date, its zone or the rule.
    add column series            bigint not null default 0,
    -- The last occurrence that was completed or skipped.
    add column through           timestamp,
    -- For a rule that counts from completion: the occurrence that is not completed yet, and its
    -- number.
    add column open_occurrence   timestamp,
    add column occurrence_number int not null default 0;

-- The wall-clock time that identifies the occurrence.
alter table reminders add column occurrence timestamp;

alter table deliveries
    -- null: the task does not recur.
    add column series     bigint,
    add column occurrence timestamp,
    add column occurs_at  timestamptz; -- the due date in the message

-- The occurrence as people read it.
alter table notifications add column occurrence text;

-- What became of the occurrences of recurring tasks.
create table occurrences (
    task_id    uuid        not null references tasks (id) on delete cascade,
    series     bigint      not null,
    occurrence timestamp   not null,
    occurs_at  timestamptz not null,
    state      text        not null check (state in ('told', 'missed', 'completed', 'skipped')),
    settled_at timestamptz not null default now(),
    primary key (task_id, series, occurrence)
);

create index occurrences_by_age on occurrences (settled_at);

-- +goose Down
drop table occurrences;
alter table notifications drop column occurrence;
alter table deliveries drop column series, drop column occurrence, drop column occurs_at;
alter table reminders drop column occurrence;
alter table tasks drop column recurrence, drop column series, drop column through, drop column open_occurrence, drop column occurrence_number;
