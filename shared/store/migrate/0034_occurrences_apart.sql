-- +goose Up
-- A foreign key would lock the task's row for each occurrence that is told. Whoever writes
-- occurrences holds the task, or an armed reminder of it, and the cleanup deletes no such task.
alter table occurrences drop constraint if exists occurrences_task_id_fkey;

-- +goose Down
delete from occurrences o where not exists (select from tasks t where t.id = o.task_id);
alter table occurrences add constraint occurrences_task_id_fkey foreign key (task_id) references tasks (id) on delete cascade;
