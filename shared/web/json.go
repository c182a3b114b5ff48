package web

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
)

const (
	defaultMaxBytes = 1 << 20
	maxDepth        = 100
	maxMembers      = 1000 // of one object; each name is remembered, to see whether it comes twice
)

// ReadOption changes how [ReadJSON] reads.
type ReadOption func(*readOptions)

type readOptions struct{ maxBytes int64 }

// MaxBytes sets the largest body that is read; without it, 1 MB.
func MaxBytes(n int64) ReadOption {
	return func(o *readOptions) { o.maxBytes = n }
}

// ReadJSON reads the request's body, one JSON value, into dst. All its errors
// are the caller's and say what to do:
//
//   - 415 unless Content-Type is JSON in UTF-8, plain and not compressed
//   - 413 for more than 1 MB, see [MaxBytes]
//   - 408 for a body that comes too slowly, see [Server]
//   - 400 for what [DecodeJSON] refuses
//
// A PATCH takes application/json and application/merge-patch+json (RFC 7396);
// other methods take application/json and any type that ends in +json.
func ReadJSON(w http.ResponseWriter, r *http.Request, dst any, options ...ReadOption) error {
	o := readOptions{maxBytes: defaultMaxBytes}
	for _, option := range options {
		option(&o)
	}
	if err := checkJSONType(w, r); err != nil {
		return err
	}
	data, err := readBody(w, r, o.maxBytes)
	if err != nil {
		return err
	}
	return DecodeJSON(data, dst)
}

// MediaType returns the request's media type in lower case without its
// parameters, or "" if there is none, more than one, or it is malformed.
func MediaType(r *http.Request) string {
	mediaType, _ := parseMediaType(r)
	return mediaType
}

func parseMediaType(r *http.Request) (mediaType, charset string) {
	values := r.Header.Values("Content-Type")
	if len(values) != 1 {
		return "", ""
	}
	mediaType, parameters, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", ""
	}
	return mediaType, parameters["charset"]
}

// checkJSONType answers with the headers that say what would be accepted:
// Accept-Patch (RFC 5789), Accept-Post, Accept and Accept-Encoding (RFC 9110,
// sections 12.5.1 and 12.5.3).
func checkJSONType(w http.ResponseWriter, r *http.Request) error {
	if err := checkPlain(w, r); err != nil {
		return err
	}
	mediaType, charset := parseMediaType(r)
	header, accepted := "Accept", "application/json"
	ok := mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
	switch r.Method {
	case http.MethodPost:
		header = "Accept-Post"
	case http.MethodPatch:
		header, accepted = "Accept-Patch", "application/merge-patch+json, application/json"
		ok = mediaType == "application/json" || mediaType == "application/merge-patch+json"
	}
	if !ok || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		w.Header().Set(header, accepted)
		return WithStatus(fault.Invalid("send JSON in UTF-8, with the header Content-Type: application/json"),
			http.StatusUnsupportedMediaType)
	}
	return nil
}

// checkPlain refuses a body that is compressed.
func checkPlain(w http.ResponseWriter, r *http.Request) error {
	for _, encoding := range r.Header.Values("Content-Encoding") {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			w.Header().Set("Accept-Encoding", "identity")
			return WithStatus(fault.Invalid("send the body without a Content-Encoding"), http.StatusUnsupportedMediaType)
		}
	}
	return nil
}

// ReadBody reads a body as it is, whatever it is: for callers that sign what they send. The
// error is as [ReadJSON]'s.
func ReadBody(w http.ResponseWriter, r *http.Request, maxBytes int64) ([]byte, error) {
	if err := checkPlain(w, r); err != nil {
		return nil, err
	}
	return readBody(w, r, maxBytes)
}

func readBody(w http.ResponseWriter, r *http.Request, maxBytes int64) ([]byte, error) {
	if r.ContentLength > maxBytes {
		return nil, tooLarge(maxBytes)
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
	if err == nil {
		return data, nil
	}
	return nil, unread(err, maxBytes)
}

// DecodeJSON decodes data, one JSON value, into dst, strictly: it refuses
// members that dst does not know or that come twice, names in another case,
// invalid UTF-8, NUL characters, which Postgres can't store, more than 100
// levels or 1,000 members, and anything after the value. The error is invalid and names the
// place by its JSON pointer (RFC 6901).
//
// An UnmarshalJSON, UnmarshalJSONFrom or UnmarshalText method may return a
// [fault.Error]: its message is shown, after the place. Other errors of such
// methods are not shown.
func DecodeJSON(data []byte, dst any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return fault.Invalid("the body is empty: send JSON")
	}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return fault.Invalid("the body must not be null")
	}
	err := scan(data)
	if err == nil {
		err = json.Unmarshal(data, dst, json.RejectUnknownMembers(true))
	}
	if err == nil {
		return nil
	}
	e := fault.Invalid("%s", explain(err))
	e.Err = err
	return e
}

// scan refuses what is valid JSON and yet nowhere wanted: NUL, bottomless nesting and
// endless objects.
func scan(data []byte) error {
	mayHoldNUL := bytes.Contains(data, []byte(`\u0000`)) // or an escaped backslash and u0000
	decoder := jsontext.NewDecoder(bytes.NewBuffer(data))
	for {
		token, err := decoder.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case mayHoldNUL && token.Kind() == '"' && strings.IndexByte(token.String(), 0) >= 0:
			return &json.SemanticError{
				JSONPointer: decoder.StackPointer(),
				Err:         fault.Invalid(`must not contain the NUL character (\u0000)`),
			}
		case decoder.StackDepth() > maxDepth:
			return &json.SemanticError{Err: fault.Invalid("is nested more than %d levels deep", maxDepth)}
		}
		if kind, tokens := decoder.StackIndex(decoder.StackDepth()); kind == '{' && tokens > 2*maxMembers {
			return &json.SemanticError{Err: fault.Invalid("has an object with more than %d members", maxMembers)}
		}
	}
}

// explain says in a sentence what is wrong with a body and where.
func explain(err error) string {
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		at := place(e.JSONPointer)
		if cause, ok := errors.AsType[*fault.Error](e.Err); ok {
			return at + " " + cause.Message
		}
		if errors.Is(e.Err, json.ErrUnknownName) {
			return at + " is not known here: check its spelling, or leave it out"
		}
		want, kind := expected(e.GoType)
		if got := kindNames[e.JSONKind]; got != "" && e.JSONKind != kind {
			want += ", not " + got
		}
		return at + " must be " + want
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		switch {
		case errors.Is(e.Err, jsontext.ErrDuplicateName):
			return place(e.JSONPointer) + " is given more than once"
		case errors.Is(e.Err, io.ErrUnexpectedEOF):
			return "the JSON ends too early, in " + place(e.JSONPointer)
		}
		return fmt.Sprintf("the body is not valid JSON: %v, at byte %d, in %s", e.Err, e.ByteOffset, place(e.JSONPointer))
	}
	return "the body is not valid JSON"
}

// place names a place in the body.
func place(pointer jsontext.Pointer) string {
	const limit = 200
	switch {
	case pointer == "":
		return "the body"
	case len(pointer) > limit:
		return strings.ToValidUTF8(string(pointer[:limit]), "") + "…"
	default:
		return string(pointer)
	}
}

// expected says what JSON a Go type is read from, and its kind.
func expected(t reflect.Type) (string, jsontext.Kind) {
	if t == nil {
		return "of another form", 0
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Time]():
		return "a time with an offset, such as 2026-11-23T14:30:00Z", '"'
	case reflect.TypeFor[uuid.UUID]():
		return "a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057", '"'
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "a string of another form", '"'
	}
	switch t.Kind() {
	case reflect.String:
		return "a string", '"'
	case reflect.Bool:
		return "true or false", 't'
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number within range", '0'
	case reflect.Float32, reflect.Float64:
		return "a number within range", '0'
	case reflect.Slice, reflect.Array:
		return "an array", '['
	case reflect.Struct, reflect.Map:
		return "an object", '{'
	default:
		return "of another form", 0
	}
}

// kindNames names what came instead.
var kindNames = map[jsontext.Kind]string{
	'n': "null", 't': "true", 'f': "false", '"': "a string", '0': "a number", '[': "an array", '{': "an object",
}

// WriteJSON answers with v as JSON that is not to be cached, unless the header
// Cache-Control is set already. If v can't be encoded, it returns an internal
// error and has written nothing. A caller who has hung up is no error.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T as JSON: %w", v, err)
	}
	writeBody(w, status, "application/json", body)
	return nil
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
