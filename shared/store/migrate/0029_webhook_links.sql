-- +goose Up
-- Whether what is posted to the webhook carries links by which its receiver acts on the task.
alter table preferences add column webhook_links boolean not null default false;

-- +goose Down
alter table preferences drop column webhook_links;
