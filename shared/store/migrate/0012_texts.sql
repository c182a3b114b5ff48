-- +goose Up

-- From now on, control characters and bidirectional overrides are refused in users' texts. Old
-- texts with such characters would make every change of their tasks fail.
update tasks set title = coalesce(nullif(btrim(regexp_replace(title, '[\u0001-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+', ' ', 'g')), ''), '?')
where title ~ '[\u0001-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]';

update tasks set notes = regexp_replace(regexp_replace(notes, '\r\n?', E'\n', 'g'), '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]', '', 'g')
where notes ~ '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]';

-- +goose Down
