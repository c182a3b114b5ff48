-- +goose Up

-- Finished deliveries are deleted after a while, whether or not their reminder was armed anew. The
-- reminder's own state keeps it from firing again.
alter table deliveries drop column superseded; -- and its index
create index deliveries_finished on deliveries (finished_at) where finished_at is not null;

-- +goose Down
drop index deliveries_finished;
alter table deliveries add column superseded boolean not null default false;
update deliveries d set superseded = true from reminders r where r.id = d.reminder_id and r.revision > d.revision;
create index deliveries_superseded on deliveries (finished_at) where superseded;
