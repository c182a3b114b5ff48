-- +goose Up

-- Requests in another user's name: by programs that act for users, and by operators who read. A row
-- is committed before the request is carried out. Rows are only added, and retention deletes old
-- ones, as in audit_events.
create table audit_acts (
    id          uuid primary key,
    caller      text        not null check (char_length(caller) between 1 and 300),
    user_id     text        not null check (char_length(user_id) between 1 and 300),
    method      text        not null check (char_length(method) <= 20),
    path        text        not null check (char_length(path) <= 500),
    recorded_at timestamptz not null default now()
);

create index audit_acts_by_age on audit_acts (recorded_at);
create trigger append_only before update or delete on audit_acts for each row execute function audit_events_refuse();
create trigger append_only_whole before truncate on audit_acts for each statement execute function audit_events_refuse();

-- +goose StatementBegin
create or replace function audit_events_refuse() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('duebell.retention', true) = 'on' then
        return old;
    end if;
    raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op)
        using errcode = 'insufficient_privilege', hint = 'nightly-cleanup removes what is older than KEEP_AUDIT_EVENTS';
end $$;
-- +goose StatementEnd

-- +goose Down
drop table audit_acts;
