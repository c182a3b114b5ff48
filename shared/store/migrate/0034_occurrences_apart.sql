-- +goose Up
-- A foreign key locks the task's row for each occurrence that is told. It is not needed: a
-- transaction that writes occurrences holds a lock on the task, or on an armed reminder of it, and
-- the cleanup deletes no such task.
alter table occurrences drop constraint if exists occurrences_task_id_fkey;

-- +goose Down
delete from occurrences o where not exists (select from tasks t where t.id = o.task_id);
alter table occurrences add constraint occurrences_task_id_fkey foreign key (task_id) references tasks (id) on delete cascade;
