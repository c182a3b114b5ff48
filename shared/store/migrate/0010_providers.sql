-- +goose Up

alter table deliveries
    -- Who carries it: the provider of the latest attempt. The statement that leases
    -- the delivery writes it.
    add column provider text check (char_length(provider) between 1 and 50),
    -- An attempt ended so that nobody can say whether that provider took it: no
    -- other one may be tried, or it could come twice.
    add column provider_fixed boolean not null default false,
    -- Counts the attempts, but those as one that went from provider to provider
    -- because each before has refused; and whether the latest such round is over.
    add column round int not null default 0 check (round >= 0),
    add column round_over boolean not null default true,
    add constraint fixed_is_a_provider check (not provider_fixed or provider is not null);
update deliveries set round = attempts;
-- Until now each channel had one provider at most.
update deliveries set provider = 'sendgrid', provider_fixed = state in ('sending', 'unknown')
where channel = 'email' and attempts > 0;

-- A target may be longer than what an index takes.
alter table deliveries drop constraint if exists deliveries_reminder_id_revision_channel_target_key;
create unique index if not exists deliveries_once on deliveries (reminder_id, revision, channel, md5(target));

alter table preferences
    -- What was the secret before the latest change of it, and until when the posts
    -- are signed with it, too.
    add column webhook_old_secret       text check (char_length(webhook_old_secret) between 1 and 200),
    add column webhook_old_secret_until timestamptz,
    -- The webhook has answered that it is gone (410): nothing is posted to it until
    -- its user switches it on again.
    add column webhook_gone             boolean not null default false,
    add constraint old_secret_has_an_end check ((webhook_old_secret is null) = (webhook_old_secret_until is null)),
    add constraint old_secret_is_of_a_webhook check (webhook_old_secret is null or webhook_url is not null),
    add constraint gone_is_off check (not webhook_gone or not 'webhook' = any (channels));

-- +goose Down
alter table preferences drop column webhook_old_secret, drop column webhook_old_secret_until, drop column webhook_gone;
-- deliveries_once stays: it says what the constraint before it said.
alter table deliveries drop column provider, drop column provider_fixed, drop column round, drop column round_over;
