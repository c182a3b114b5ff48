-- +goose Up

-- A row is added with a user's first task.
create table users (
    id         text primary key check (char_length(id) between 1 and 255),
    -- The verified address of the user's sign-in; null when there is none.
    email      text check (char_length(email) between 3 and 320),
    -- The seq of the user's newest notification. Taking the next one locks the row until commit. So
    -- notifications become visible in the order of seq, and a reader that continues after the last
    -- one it saw misses none.
    last_seq   bigint      not null default 0 check (last_seq >= 0),
    created_at timestamptz not null default now()
);

create table tasks (
    id         uuid primary key,
    user_id    text        not null references users (id),
    title      text        not null check (char_length(title) between 1 and 500),
    notes      text        not null default '' check (char_length(notes) <= 10000),
    due_date   timestamptz check (due_date between '1970-01-01Z' and '9999-12-31T23:59:59.999999Z'),
    completed  boolean     not null default false,
    channels   text[] check (cardinality(channels) > 0),
    version    bigint      not null default 1 check (version > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);

-- For a user's list, the newest first: ids are UUIDv7.
create index tasks_of_user on tasks (user_id, id desc) where deleted_at is null;

create table reminders (
    id                 uuid primary key,
    task_id            uuid        not null references tasks (id) on delete cascade,
    user_id            text        not null,
    before             interval    not null check (before between '0' and '366 days'),
    fire_at            timestamptz,
    state              text        not null check (state in ('armed', 'fired', 'cancelled', 'missed')),
    -- Increases each time the reminder is armed, under the row's lock.
    revision           bigint      not null check (revision >= 0),
    -- The revision whose job Dapr has confirmed.
    confirmed_revision bigint check (confirmed_revision <= revision),
    fired_at           timestamptz,
    -- Set while the task no longer has this offset.
    removed_at         timestamptz,
    unique (task_id, before),
    constraint armed_has_a_revision check (state <> 'armed' or (fire_at is not null and revision > 0 and removed_at is null)),
    constraint fired_has_a_time check ((state = 'fired') = (fired_at is not null))
);

-- Reminders to schedule: armed, and not confirmed by Dapr.
create index reminders_pending on reminders (fire_at)
    where state = 'armed' and confirmed_revision is distinct from revision;

-- For the sweep's search for overdue reminders.
create index reminders_armed on reminders (fire_at) where state = 'armed';

create table deliveries (
    id              uuid primary key,
    reminder_id     uuid        not null references reminders (id),
    revision        bigint      not null check (revision > 0),
    task_id         uuid        not null,
    user_id         text        not null,
    channel         text        not null check (channel in ('in_app', 'email')),
    -- The address, in the channel's own form; empty for in_app.
    target          text        not null default '',
    state           text        not null check (state in ('planned', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown')),
    -- Counts attempts. The number of the latest identifies its lease.
    attempts        int         not null default 0 check (attempts >= 0),
    -- When it may be leased (planned, unknown), or when its lease runs out (sending).
    next_attempt_at timestamptz,
    last_error      text,
    created_at      timestamptz not null default now(),
    finished_at     timestamptz,
    -- Firing a revision twice plans its deliveries once.
    unique (reminder_id, revision, channel, target),
    constraint waiting_has_a_time check ((state in ('planned', 'sending', 'unknown')) = (next_attempt_at is not null)),
    constraint terminal_has_a_time check ((state in ('planned', 'sending', 'unknown')) = (finished_at is null))
);

create index deliveries_due on deliveries (next_attempt_at) where state in ('planned', 'sending', 'unknown');
create index deliveries_of_task on deliveries (task_id, id);

-- The in-app channel. A notification's id is its delivery's.
create table notifications (
    id         uuid primary key,
    user_id    text        not null references users (id),
    seq        bigint      not null check (seq > 0),
    task_id    uuid        not null,
    title      text        not null,
    body       text        not null,
    created_at timestamptz not null default now(),
    read_at    timestamptz,
    unique (user_id, seq)
);

-- +goose Down
drop table notifications, deliveries, reminders, tasks, users;
