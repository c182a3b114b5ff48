-- +goose Up
alter table notifications add column if not exists due_date timestamptz; -- the task's due date when the reminder fired; null: it is about no task, or is older than this column

-- +goose Down
alter table notifications drop column if exists due_date;
