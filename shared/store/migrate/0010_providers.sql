-- +goose Up

alter table deliveries
    -- The provider of the latest attempt. The statement that leases the delivery sets it.
    add column provider text check (char_length(provider) between 1 and 50),
    -- That provider may have taken it. No other provider may be tried, or the message could come
    -- twice.
    add column provider_fixed boolean not null default false,
    -- round counts the attempts; those that went from provider to provider, because each before
    -- refused, count as one round. round_over says whether the latest round is over.
    add column round int not null default 0 check (round >= 0),
    add column round_over boolean not null default true,
    add constraint fixed_is_a_provider check (not provider_fixed or provider is not null);
update deliveries set round = attempts;
-- Earlier versions had at most one provider for each channel.
update deliveries set provider = 'sendgrid', provider_fixed = state in ('sending', 'unknown')
where channel = 'email' and attempts > 0;

-- Targets may be too long for an index.
alter table deliveries drop constraint if exists deliveries_reminder_id_revision_channel_target_key;
create unique index if not exists deliveries_once on deliveries (reminder_id, revision, channel, md5(target));

alter table preferences
    -- The secret before the latest change, and until when it still signs, too.
    add column webhook_old_secret       text check (char_length(webhook_old_secret) between 1 and 200),
    add column webhook_old_secret_until timestamptz,
    -- The webhook answered 410. Nothing is posted to it until its user switches it on again.
    add column webhook_gone             boolean not null default false,
    add constraint old_secret_has_an_end check ((webhook_old_secret is null) = (webhook_old_secret_until is null)),
    add constraint old_secret_is_of_a_webhook check (webhook_old_secret is null or webhook_url is not null),
    add constraint gone_is_off check (not webhook_gone or not 'webhook' = any (channels));

-- +goose Down
alter table preferences drop column webhook_old_secret, drop column webhook_old_secret_until, drop column webhook_gone;
-- deliveries_once stays: it has the same meaning as the constraint that it replaced.
alter table deliveries drop column provider, drop column provider_fixed, drop column round, drop column round_over;
