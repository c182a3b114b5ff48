-- Rows of schema 1, as they are when a system is stopped to be upgraded.

insert into users (id, email, last_seq) values ('testupgrade', 'testupgrade@example.com', 2);

insert into tasks (id, user_id, title, due_date, created_at, updated_at) values
    ('01990000-0000-7000-8000-000000000001', 'testupgrade', 'Told on both channels', now() - interval '1 day', now() - interval '2 days', now() - interval '2 days'),
    ('01990000-0000-7000-8000-000000000002', 'testupgrade', 'The e-mail is still to be sent', now() - interval '1 min', now() - interval '2 days', now() - interval '2 days'),
    ('01990000-0000-7000-8000-000000000003', 'testupgrade', 'Dapr has its job', now() - interval '1 min', now() - interval '2 days', now() - interval '2 days'),
    ('01990000-0000-7000-8000-000000000004', 'testupgrade', 'Dapr has lost its job', now() + interval '1 day', now() - interval '2 days', now() - interval '2 days'),
    ('01990000-0000-7000-8000-000000000005', 'testupgrade', 'Will be moved', now() + interval '1 day', now() - interval '2 days', now() - interval '2 days');

insert into reminders (id, task_id, user_id, before, fire_at, state, revision, confirmed_revision, fired_at) values
    ('01990000-0000-7000-8000-000000000011', '01990000-0000-7000-8000-000000000001', 'testupgrade', '0', now() - interval '1 day', 'fired', 1, 1, now() - interval '1 day'),
    ('01990000-0000-7000-8000-000000000012', '01990000-0000-7000-8000-000000000002', 'testupgrade', '0', now() - interval '1 min', 'fired', 1, 1, now() - interval '1 min'),
    ('01990000-0000-7000-8000-000000000013', '01990000-0000-7000-8000-000000000003', 'testupgrade', '0', now() - interval '1 min', 'armed', 2, 2, null),
    ('01990000-0000-7000-8000-000000000014', '01990000-0000-7000-8000-000000000004', 'testupgrade', '0', now() + interval '1 day', 'armed', 1, 1, null),
    ('01990000-0000-7000-8000-000000000015', '01990000-0000-7000-8000-000000000005', 'testupgrade', '0', now() + interval '1 day', 'armed', 1, 1, null);

insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, attempts, next_attempt_at, finished_at) values
    ('01990000-0000-7000-8000-000000000021', '01990000-0000-7000-8000-000000000011', 1, '01990000-0000-7000-8000-000000000001', 'testupgrade', 'in_app', '', 'sent', 1, null, now() - interval '1 day'),
    ('01990000-0000-7000-8000-000000000022', '01990000-0000-7000-8000-000000000011', 1, '01990000-0000-7000-8000-000000000001', 'testupgrade', 'email', 'testupgrade@example.com', 'sent', 1, null, now() - interval '1 day'),
    ('01990000-0000-7000-8000-000000000023', '01990000-0000-7000-8000-000000000012', 1, '01990000-0000-7000-8000-000000000002', 'testupgrade', 'in_app', '', 'sent', 1, null, now() - interval '1 min'),
    ('01990000-0000-7000-8000-000000000024', '01990000-0000-7000-8000-000000000012', 1, '01990000-0000-7000-8000-000000000002', 'testupgrade', 'email', 'testupgrade@example.com', 'planned', 0, now(), null);

insert into notifications (id, user_id, seq, task_id, title, body) values
    ('01990000-0000-7000-8000-000000000021', 'testupgrade', 1, '01990000-0000-7000-8000-000000000001', 'Told on both channels', ''),
    ('01990000-0000-7000-8000-000000000023', 'testupgrade', 2, '01990000-0000-7000-8000-000000000002', 'The e-mail is still to be sent', '');
