package main

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

const ndjson = "application/x-ndjson"

// taken are the accepted media types, for the error.
var taken = []string{
	"application/json", "text/csv", ndjson, "application/ndjson", "application/jsonl",
	"application/vnd.ms-excel", "text/plain", // the types that Windows and others use for .csv
}

func isTable(mediaType string) bool {
	return mediaType == "text/csv" || mediaType == "application/vnd.ms-excel" || mediaType == "text/plain"
}

const (
	maxRecords = 100_000
	maxStream  = 128 << 20
	// A part ends after this many records or bytes, whichever comes first. Where it ends depends on
	// the content alone, so a repeated request has the same parts.
	partRecords = 1000
	partBytes   = 1 << 20
)

// streamed is the last line of the answer to a stream.
type streamed struct {
	schedule.Counts
	Failed int `json:"failed"`
}

// streamFailure is a record of a stream that was not stored, and why.
type streamFailure struct {
	Index int `json:"index"`
	// Line and LastLine are the record's lines in the body, from 1.
	Line     int        `json:"line"`
	LastLine int        `json:"last_line"`
	Code     fault.Code `json:"code"`
	Error    string     `json:"error"`
}

// stream stores the tasks of a body while it reads it. It answers after it has read all of it, for
// two reasons: a proxy may not carry both directions at once, and an error can still set the
// status.
func (h handler) stream(w http.ResponseWriter, r *http.Request, user auth.User) error {
	body, mediaType, err := web.Stream(w, r, maxStream, taken...)
	if err != nil {
		return err
	}
	key, err := api.IdempotencyKey(r, user.ID, nil)
	if err != nil {
		return err
	}
	in := &reading{user: user.ID, records: api.NewRecords(body, isTable(mediaType)), key: key, asked: sha256.New(), resolver: h.Planner.Resolver(user.ID)}
	if err := in.begin(mediaType); err != nil {
		return err
	}
	in.imported, err = h.Planner.Import(r.Context(), api.Owner(user))
	if err != nil {
		return err
	}
	err = in.all(r.Context())
	counts, storeErr := in.imported.Wait()
	if storeErr != nil {
		err = storeErr // the other error, if there is one, is about the same
	}
	if err != nil {
		return in.broken(err, counts.Created)
	}
	_, _ = io.Copy(io.Discard, body) // read beyond the limit, since a client that still sends would not read the answer
	return in.answer(w, counts)
}

// reading is the state of one stream.
type reading struct {
	user     string // the tasks' user
	records  *api.Records
	columns  api.Columns // nil for lines of JSON
	imported *schedule.Import
	resolver *schedule.Resolver

	key   *store.IdempotencyKey // the request's key, or nil
	asked hash.Hash             // the hash of the part
	begun []byte                // the beginning of each part's hash

	index  int // of the next record
	parts  int // parts that were read
	part   []task.Draft
	inPart int // records of the part, failures included
	bytes  int

	failures failures
}

// begin reads a table's header.
func (in *reading) begin(mediaType string) error {
	in.begun = []byte(mediaType)
	if !isTable(mediaType) {
		return nil
	}
	header, names, err := in.records.Header()
	if err != nil {
		return err
	}
	in.begun = append(in.begun, header...)
	in.columns, err = api.ReadColumns(names)
	return err
}

// all reads and stores all records.
func (in *reading) all(ctx context.Context) error {
	in.asked.Write(in.begun)
	for {
		text, err := in.records.Next()
		at := place{in.records.Line, in.records.LastLine}
		refused, isRefused := errors.AsType[*api.Refused](err)
		switch {
		case errors.Is(err, io.EOF):
			if in.index == 0 {
				return fault.Invalid("the body has no tasks: send a line for each")
			}
			return in.store(ctx)
		case err != nil && !isRefused:
			return err
		case isRefused:
			at = place{refused.First, refused.Last}
		}
		if in.index == maxRecords {
			in.fail(at, fault.Invalid("a request may have %d tasks: send this one, and all after it, in another request", maxRecords))
			return in.store(ctx)
		}
		if in.columns != nil && in.parts == 0 && !isRefused { // nothing is stored yet
			if err := api.CheckUTF8(text); err != nil {
				return fault.Invalid("line %d: %s", at.first, reason(err))
			}
		}
		in.asked.Write(text)
		if isRefused && refused.More {
			continue
		}
		fmt.Fprintf(in.asked, ":%d-%d:", at.first, at.last) // so that it is known where each record ends
		if err := in.take(ctx, at, text, refused); err != nil {
			return err
		}
		if in.inPart == partRecords || in.bytes >= partBytes {
			if err := in.store(ctx); err != nil {
				return err
			}
		}
	}
}

// place is where a record is in the body.
type place struct{ first, last int }

// take adds a record to the part, or records its failure. The error is the database's.
func (in *reading) take(ctx context.Context, at place, text []byte, refused *api.Refused) error {
	draft, err := in.draft(text, refused)
	if err == nil {
		err = in.resolver.Check(ctx, &draft)
	}
	switch {
	case fault.CodeOf(err) == fault.CodeUnavailable:
		return err
	case err != nil:
		in.fail(at, err)
	default:
		in.part = append(in.part, draft)
	}
	in.index++
	in.inPart++
	in.bytes += len(text)
	return nil
}

func (in *reading) draft(text []byte, refused *api.Refused) (task.Draft, error) {
	switch {
	case refused != nil:
		return task.Draft{}, fault.Invalid("%s", refused.Reason)
	case in.columns == nil:
		return readOne(text, in.user)
	}
	if err := api.CheckUTF8(text); err != nil {
		return task.Draft{}, err
	}
	cells, err := in.records.Cells(text)
	if err != nil {
		return task.Draft{}, err
	}
	return in.columns.Draft(cells, in.user)
}

func (in *reading) fail(at place, err error) {
	in.failures.add(streamFailure{Index: in.index, Line: at.first, LastLine: at.last, Code: fault.CodeOf(err), Error: reason(err)})
}

// store begins to store the part.
func (in *reading) store(ctx context.Context) error {
	select {
	case <-function.Draining(ctx):
		return fault.Unavailable(nil, "the function is about to stop; try again")
	default:
	}
	if len(in.part) > 0 {
		var key *store.IdempotencyKey
		if in.key != nil {
			part := in.key.Part(in.parts, [sha256.Size]byte(in.asked.Sum(nil)))
			key = &part
		}
		if err := in.imported.Add(ctx, in.part, key); err != nil {
			return err
		}
	}
	in.parts++
	in.part, in.inPart, in.bytes = in.part[:0], 0, 0
	in.asked.Reset()
	in.asked.Write(in.begun)
	return nil
}

// broken returns the error of a request that broke off after some of its tasks were stored.
func (in *reading) broken(err error, stored int) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || stored == 0 {
		return err
	}
	told := *f
	told.Message += fmt.Sprintf("; %d tasks of this request have been stored", stored)
	if in.key != nil {
		told.Message += ", and will not be again if it is repeated with its Idempotency-Key"
	}
	return web.WithStatus(&told, web.Status(err))
}

func (in *reading) answer(w http.ResponseWriter, counts schedule.Counts) error {
	h := w.Header()
	h.Set("Content-Type", ndjson)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if err := in.failures.writeTo(w); err != nil {
		return err
	}
	last, err := json.Marshal(streamed{Counts: counts, Failed: in.failures.n})
	if err != nil {
		return err
	}
	_, _ = w.Write(append(last, '\n')) // an error means that the client has hung up
	return nil
}

// failures collects the lines of the answer until it begins. They are compressed: a hundred
// thousand of them are much alike.
type failures struct {
	n      int
	packed bytes.Buffer
	packer *flate.Writer
}

func (f *failures) add(failed streamFailure) {
	if f.packer == nil {
		f.packer, _ = flate.NewWriter(&f.packed, flate.BestSpeed) // fails for an invalid level only
	}
	line, err := json.Marshal(failed)
	if err != nil {
		panic(err) // no value of the type fails
	}
	f.n++
	_, _ = f.packer.Write(append(line, '\n')) // can't fail: it writes to memory
}

func (f *failures) writeTo(w io.Writer) error {
	if f.packer == nil {
		return nil
	}
	if err := f.packer.Close(); err != nil {
		return err
	}
	_, err := io.Copy(w, flate.NewReader(&f.packed))
	return err
}
