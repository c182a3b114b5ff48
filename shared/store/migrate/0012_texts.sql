-- +goose Up

-- Control and bidirectional override characters are refused in what users write from now
-- on. Those that are there already would make every change of their tasks be refused.
update tasks set title = coalesce(nullif(btrim(regexp_replace(title, '[\u0001-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+', ' ', 'g')), ''), '?')
where title ~ '[\u0001-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]';

update tasks set notes = regexp_replace(regexp_replace(notes, '\r\n?', E'\n', 'g'), '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]', '', 'g')
where notes ~ '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]';

-- +goose Down
