-- +goose Up

-- What a delivery's provider has said about it since it was sent. The worst counts, in whatever
-- order reports come.
alter table deliveries
    add column report      text,
    add column reported_at timestamptz,
    add constraint deliveries_report_check check (report in ('delivered', 'bounced', 'complained')) not valid, -- no row is read while the table is locked
    add constraint report_has_a_time check ((report is null) = (reported_at is null)) not valid;

-- The reports that were taken, so that each counts once. Those about a delivery go when
-- the delivery would be gone, too. The others, about an address alone, stay for good.
create table report_events (
    provider    text        not null check (provider in ('sendgrid', 'ses', 'twilio')),
    event_id    text        not null check (char_length(event_id) between 1 and 200),
    delivery_id uuid,
    received_at timestamptz not null default now(),
    primary key (provider, event_id)
);

create index report_events_by_age on report_events (received_at) where delivery_id is not null;

-- +goose Down
drop table report_events;
alter table deliveries drop column report, drop column reported_at;
