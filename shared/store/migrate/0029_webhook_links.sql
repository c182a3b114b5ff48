-- +goose Up
-- Whether the webhook's messages have links by which the receiver acts on the task.
alter table preferences add column webhook_links boolean not null default false;

-- +goose Down
alter table preferences drop column webhook_links;
