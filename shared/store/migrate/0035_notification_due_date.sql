-- +goose Up
alter table notifications add column if not exists due_date timestamptz; -- its task's when it fired; null: none, or from before this column

-- +goose Down
alter table notifications drop column if exists due_date;
