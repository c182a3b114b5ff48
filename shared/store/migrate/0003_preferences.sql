-- +goose Up

-- A user without a row has the defaults.
create table preferences (
    user_id        text primary key references users (id),
    time_zone      text        not null check (char_length(time_zone) between 1 and 64),
    language       text        not null check (char_length(language) between 2 and 35),
    -- The channels that are on. None is a valid choice.
    channels       text[]      not null check (channels <@ array['in_app', 'email', 'push', 'sms', 'webhook']),
    -- If empty, the verified address of the sign-in is used.
    emails         text[]      not null check (cardinality(emails) <= 5 and array_position(emails, null) is null),
    phones         text[]      not null check (cardinality(phones) <= 5 and array_position(phones, null) is null),
    -- Objects with provider and token.
    devices        jsonb       not null check (jsonb_typeof(devices) = 'array' and jsonb_array_length(devices) <= 20),
    webhook_url    text check (char_length(webhook_url) between 1 and 2000),
    -- Not encrypted. Only the code that signs reads it.
    webhook_secret text check (char_length(webhook_secret) between 1 and 200),
    -- Set by the link in an e-mail. Tasks can't ask for e-mail either, until the user switches it
    -- on again.
    unsubscribed   boolean     not null default false,
    version        bigint      not null check (version > 0),
    updated_at     timestamptz not null default now(),
    constraint secret_is_of_a_webhook check (webhook_secret is null or webhook_url is not null),
    constraint unsubscribed_is_off check (not unsubscribed or not 'email' = any (channels))
);

alter table deliveries drop constraint deliveries_channel_check;
alter table deliveries add constraint deliveries_channel_check check (channel in ('in_app', 'email', 'push', 'sms', 'webhook'));

-- +goose Down
alter table deliveries drop constraint deliveries_channel_check;
delete from deliveries where channel not in ('in_app', 'email');
alter table deliveries add constraint deliveries_channel_check check (channel in ('in_app', 'email'));
drop table preferences;
