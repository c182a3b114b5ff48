-- +goose Up

-- What the provider has reported since the delivery was sent. The worst report counts, whatever
-- their order.
alter table deliveries
    add column report      text,
    add column reported_at timestamptz,
    add constraint deliveries_report_check check (report in ('delivered', 'bounced', 'complained')) not valid, -- "not valid" avoids reading the rows while the table is locked
    add constraint report_has_a_time check ((report is null) = (reported_at is null)) not valid;

-- Reports that were stored, so that each counts once. Those about a delivery are deleted with it.
-- Those about an address alone stay for ever.
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
