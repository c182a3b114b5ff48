package web_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

// offset is a type that explains itself.
type offset string

func (o *offset) UnmarshalText(text []byte) error {
	if !strings.HasSuffix(string(text), "m") {
		return fault.Invalid("must be minutes such as 30m")
	}
	*o = offset(text)
	return nil
}

type task struct {
	ID        uuid.UUID         `json:"id"`
	Title     string            `json:"title"`
	DueDate   *web.Time         `json:"due_date"`
	Completed bool              `json:"completed"`
	Priority  int8              `json:"priority"`
	Weight    float64           `json:"weight"`
	Reminders []offset          `json:"reminders"`
	Labels    map[string]string `json:"labels"`
	Sub       []task            `json:"sub"`
	Extra     any               `json:"extra"`
}

func sameTime(a, b web.Time) bool { return time.Time(a).Equal(time.Time(b)) }

func post(body string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestReadJSON(t *testing.T) {
	var got task
	err := web.ReadJSON(httptest.NewRecorder(), post(` {"title":"a \\u0000 b \ud83d\udd14","priority":-3,"reminders":["5m"],"due_date":"2026-03-01T09:00:00.5+01:00"} `), &got)
	if err != nil {
		t.Fatal(err)
	}
	due := web.Time(time.Date(2026, 3, 1, 8, 0, 0, 5e8, time.UTC))
	want := task{Title: `a \u0000 b 🔔`, Priority: -3, Reminders: []offset{"5m"}, DueDate: &due}
	if diff := cmp.Diff(want, got, cmp.Comparer(sameTime)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for name, test := range map[string]struct{ body, want string }{
		"empty":             {"", "the body is empty: send JSON"},
		"space":             {" \n", "the body is empty: send JSON"},
		"cut":               {`{"title":"x`, "the JSON ends too early, in /title"},
		"cut inside":        {`{"sub":[{"title":`, "the JSON ends too early, in /sub/0/title"},
		"syntax":            {`{"title":}`, "the body is not valid JSON: missing value after object name, at byte 9, in /title"},
		"comment":           {`{} // x`, "the body is not valid JSON: invalid character '/' at start of value, at byte 3, in the body"},
		"twice":             {`{} {}`, "the body is not valid JSON: invalid character '{' after top-level value, at byte 3, in the body"},
		"array":             {`[]`, "the body must be an object, not an array"},
		"string":            {`"x"`, "the body must be an object, not a string"},
		"duplicate":         {`{"title":"a","title":"b"}`, "/title is given more than once"},
		"duplicate escaped": {`{"title":"a","t\u0069tle":"b"}`, "/title is given more than once"},
		"unknown":           {`{"titel":"a"}`, "/titel is not known here: check its spelling, or leave it out"},
		"unknown inside":    {`{"sub":[{},{"a/b":1}]}`, "/sub/1/a~1b is not known here: check its spelling, or leave it out"},
		"other case":        {`{"Title":"a"}`, "/Title is not known here: check its spelling, or leave it out"},
		"not a string":      {`{"title":7}`, "/title must be a string, not a number"},
		"not a bool":        {`{"completed":"true"}`, "/completed must be true or false, not a string"},
		"fraction":          {`{"priority":1.5}`, "/priority must be a whole number within range"},
		"too great":         {`{"priority":128}`, "/priority must be a whole number within range"},
		"infinite":          {`{"weight":1e999}`, "/weight must be a number within range"},
		"not an array":      {`{"reminders":{}}`, "/reminders must be an array, not an object"},
		"not an object":     {`{"labels":[]}`, "/labels must be an object, not an array"},
		"bad time":          {`{"due_date":"tomorrow"}`, `/due_date must be a time with an offset: write it as 2026-11-23T14:30:00Z or 2026-11-23T15:30:00+01:00, not "tomorrow"`},
		"time as number":    {`{"due_date":1795444200}`, "/due_date must be a time with an offset: write it as 2026-11-23T14:30:00Z, not as the number 1795444200"},
		"time as true":      {`{"due_date":true}`, "/due_date must be a time with an offset, such as 2026-11-23T14:30:00Z, not true"},
		"bad UUID":          {`{"id":"7"}`, "/id must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057"},
		"explained":         {`{"sub":[{"reminders":["5m","5h"]}]}`, "/sub/0/reminders/1 must be minutes such as 30m"},
		"not text":          {`{"reminders":[5]}`, "/reminders/0 must be a string of another form, not a number"},
		"NUL":               {`{"sub":[{"title":"a\u0000b"}]}`, `/sub/0/title must not contain the NUL character (\u0000)`},
		"NUL in a name":     {`{"labels":{"a\u0000":"b"}}`, "/labels/a\u0000 must not contain the NUL character (\\u0000)"},
		"NUL after \\":      {`{"title":"\\\u0000"}`, `/title must not contain the NUL character (\u0000)`},
		"raw NUL":           {"{\"title\":\"\x00\"}", `the body is not valid JSON: invalid character '\x00' in string (expecting non-control character), at byte 10, in /title`},
		"not UTF-8":         {"{\"title\":\"\xff\"}", "the body is not valid JSON: invalid UTF-8, at byte 10, in /title"},
		"half a surrogate":  {`{"title":"\ud83d"}`, "the body is not valid JSON: invalid surrogate pair `\\ud83d\"}` in string, at byte 10, in /title"},
		"deep":              {`{"extra":` + strings.Repeat("[", 200), "the body is nested more than 100 levels deep"},
		"wide":              {`{"extra":{"":0` + members(1000), "the body has an object with more than 1000 members"},
		"NaN":               {`{"weight":NaN}`, "the body is not valid JSON: invalid character 'N' at start of value, at byte 10, in /weight"},
	} {
		t.Run(name, func(t *testing.T) {
			var got task
			err := web.ReadJSON(httptest.NewRecorder(), post(test.body), &got)
			if web.Status(err) != http.StatusBadRequest || message(err) != test.want {
				t.Errorf("%d %q, want 400 %q", web.Status(err), message(err), test.want)
			}
		})
	}
}

// message returns what the caller sees of err.
func message(err error) string {
	w := httptest.NewRecorder()
	if err == nil {
		return ""
	}
	web.WriteProblem(w, httptest.NewRequest("POST", "/", nil), err)
	var p problem
	if err := stdjson.Unmarshal(w.Body.Bytes(), &p); err != nil {
		return err.Error()
	}
	return p.Detail
}

func TestReadJSONLongPlacesAreCut(t *testing.T) {
	var got task
	err := web.DecodeJSON([]byte(`{"`+strings.Repeat("é", 100_000)+`":1}`), &got)
	if text := message(err); len(text) > 300 || !utf8.ValidString(text) {
		t.Errorf("message of %d bytes", len(text))
	}
}

func TestReadJSONMediaTypes(t *testing.T) {
	for _, test := range []struct {
		method string
		header http.Header
		status int    // 0 means accepted
		want   string // a header that says what would be accepted
	}{
		{"POST", http.Header{"Content-Type": {"application/json"}}, 0, ""},
		{"POST", http.Header{"Content-Type": {"Application/JSON; Charset=UTF-8"}}, 0, ""},
		{"POST", http.Header{"Content-Type": {"application/cloudevents+json"}}, 0, ""},
		{"PUT", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, 0, ""},
		{"PATCH", http.Header{"Content-Type": {"application/json"}}, 0, ""},
		{"PATCH", http.Header{"Content-Type": {"application/merge-patch+json"}}, 0, ""},
		{"PATCH", http.Header{"Content-Type": {"application/json-patch+json"}}, 415, "Accept-Patch: application/merge-patch+json, application/json"},
		{"POST", nil, 415, "Accept-Post: application/json"},
		{"POST", http.Header{"Content-Type": {"text/plain"}}, 415, "Accept-Post: application/json"},
		{"POST", http.Header{"Content-Type": {"application/json; charset=latin1"}}, 415, "Accept-Post: application/json"},
		{"POST", http.Header{"Content-Type": {"application/json", "application/json"}}, 415, "Accept-Post: application/json"},
		{"PUT", http.Header{"Content-Type": {"application/json;;"}}, 415, "Accept: application/json"},
		{"POST", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, 415, "Accept-Encoding: identity"},
		{"POST", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity", "gzip"}}, 415, "Accept-Encoding: identity"},
	} {
		t.Run(fmt.Sprint(test.method, test.header), func(t *testing.T) {
			r := httptest.NewRequest(test.method, "/", strings.NewReader("{}"))
			r.Header = test.header
			h := web.Handler(func(w http.ResponseWriter, r *http.Request) error {
				var body struct{}
				if err := web.ReadJSON(w, r, &body); err != nil {
					return err
				}
				return web.WriteJSON(w, http.StatusOK, body)
			})
			if test.status == 0 {
				if response, body := serve(t, h, r); response.StatusCode != http.StatusOK {
					t.Errorf("%d %s, want 200", response.StatusCode, body)
				}
				return
			}
			response, _ := serveProblem(t, h, r)
			name, value, _ := strings.Cut(test.want, ": ")
			if response.StatusCode != test.status || response.Header.Get(name) != value {
				t.Errorf("%d, %s = %q, want %d, %s", response.StatusCode, name, response.Header.Get(name), test.status, test.want)
			}
		})
	}
}

func TestMediaType(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	if got := web.MediaType(r); got != "" {
		t.Errorf("MediaType = %q", got)
	}
	r.Header.Set("Content-Type", "Text/CSV; header=present")
	if got := web.MediaType(r); got != "text/csv" {
		t.Errorf("MediaType = %q", got)
	}
}

func TestReadJSONSize(t *testing.T) {
	read := func(options ...web.ReadOption) web.Handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			var s string
			if err := web.ReadJSON(w, r, &s, options...); err != nil {
				return err
			}
			return web.WriteJSON(w, http.StatusOK, len(s))
		}
	}
	body := func(size int) string { return `"` + strings.Repeat("x", size-2) + `"` }
	if response, _ := serve(t, read(), post(body(1<<20))); response.StatusCode != http.StatusOK {
		t.Errorf("1 MB: %d, want 200", response.StatusCode)
	}
	if response, _ := serve(t, read(web.MaxBytes(2<<20)), post(body(1<<20+1))); response.StatusCode != http.StatusOK {
		t.Errorf("more than 1 MB where it is allowed: %d, want 200", response.StatusCode)
	}
	tooLarge := []*http.Request{post(body(1<<20 + 1)), post(body(1<<20 + 1))}
	tooLarge[0].Body = nil // announced: it is not read at all
	tooLarge[1].ContentLength = -1
	for _, r := range tooLarge {
		response, p := serveProblem(t, read(), r)
		if response.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(p.Detail, "1048576") ||
			response.Header.Get("Connection") != "close" {
			t.Errorf("more than 1 MB: %d %s, want 413", response.StatusCode, p.Detail)
		}
	}
}

func TestReadJSONCutBody(t *testing.T) {
	r := post("")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"title"`), failingReader{}))
	var body any
	if err := web.ReadJSON(httptest.NewRecorder(), r, &body); web.Status(err) != http.StatusBadRequest {
		t.Errorf("%v, want 400", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWriteJSON(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Cache-Control", "max-age=60")
	err := web.WriteJSON(w, http.StatusCreated, struct {
		Tasks []task `json:"tasks"`
		HTML  string `json:"html"`
	}{HTML: "<b>"})
	want := "{\"tasks\":[],\"html\":\"<b>\"}\n"
	if err != nil || w.Code != http.StatusCreated || w.Body.String() != want ||
		w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "max-age=60" {
		t.Errorf("%v %d %s %v", err, w.Code, w.Body, w.Header())
	}
	response, p := serveProblem(t, web.Handler(func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, http.StatusOK, map[string]any{"a": "b", "c": make(chan int)})
	}), httptest.NewRequest("GET", "/", nil))
	if response.StatusCode != http.StatusInternalServerError || strings.Contains(p.Detail, "chan") {
		t.Errorf("%d %+v", response.StatusCode, p)
	}
}

func TestOptional(t *testing.T) {
	type patch struct {
		Title web.Optional[string]     `json:"title"`
		Due   web.Optional[*time.Time] `json:"due_date"`
		Sub   web.Optional[task]       `json:"sub"`
	}
	for body, want := range map[string]patch{
		`{}`:                      {},
		`{"title":null}`:          {Title: web.Optional[string]{Present: true, Null: true}},
		`{"title":""}`:            {Title: web.Optional[string]{Present: true}},
		`{"title":"x"}`:           {Title: web.Optional[string]{Present: true, Value: "x"}},
		`{"sub":{"priority":1}}`:  {Sub: web.Optional[task]{Present: true, Value: task{Priority: 1}}},
		`{"due_date":null}`:       {Due: web.Optional[*time.Time]{Present: true, Null: true}},
		`{"sub":null,"title":""}`: {Title: web.Optional[string]{Present: true}, Sub: web.Optional[task]{Present: true, Null: true}},
	} {
		// What was there before must not shine through.
		got := patch{Title: web.Optional[string]{Value: "old"}}
		if !strings.Contains(body, "title") {
			got = patch{}
		}
		if err := web.DecodeJSON([]byte(body), &got); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	for body, want := range map[string]string{
		`{"title":7}`:                       "/title must be a string, not a number",
		`{"sub":{"sub":[{"priority":""}]}}`: "/sub/sub/0/priority must be a whole number within range, not a string",
		`{"sub":{"titel":""}}`:              "/sub/titel is not known here: check its spelling, or leave it out",
		`{"sub":{"title":"","title":""}}`:   "/sub/title is given more than once",
	} {
		var got patch
		if text := message(web.DecodeJSON([]byte(body), &got)); text != want {
			t.Errorf("%s: %q, want %q", body, text, want)
		}
	}
}

func TestParseUUID(t *testing.T) {
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	for value, ok := range map[string]bool{
		id: true, strings.ToUpper(id): true,
		"": false, "7": false, "{" + id + "}": false, "urn:uuid:" + id: false, strings.ReplaceAll(id, "-", ""): false,
		strings.Replace(id, "0", "g", 1): false, id + "0": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetPathValue("task_id", value)
		got, err := web.PathUUID(r, "task_id")
		switch {
		case ok && (err != nil || got.String() != id):
			t.Errorf("%q: %v, %v", value, got, err)
		case !ok && (web.Status(err) != http.StatusBadRequest || !strings.HasPrefix(message(err), "task_id must be a UUID")):
			t.Errorf("%q: %v, want an invalid task_id", value, err)
		}
	}
}

func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"title":"x","reminders":["5m"],"sub":[{"labels":{"a":"b"}}],"extra":[1,null,{"a":[]}]}`,
		`{"title":"\u0000"}`, `{"title":"\\u0000"}`, `{"a":1,"a":2}`, `{"title":"\ud83d"}`, "\xff", `{"due_date":"2026-03-01T09:00:00Z"}`,
		`{"extra":[[[[[[`, `[]`, `{"priority":1e400}`, `{"id":"01890a5d-ac96-774b-bcce-b302099a8057"}`, `{} {}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		var got task
		if err := web.ReadJSON(httptest.NewRecorder(), r, &got); err != nil {
			if status := web.Status(err); status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
				t.Fatalf("status %d: %v", status, err)
			}
			if text := message(err); text == "" || len(text) > 1000 {
				t.Fatalf("message %q", text)
			}
			return
		}
		// Whatever is taken, a more lenient reader takes too, and it comes
		// back the same.
		if !stdjson.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
		got.DueDate = nil // only comes in
		encoded, err := json.Marshal(got, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(bytes.ReplaceAll(encoded, []byte(`\\`), nil), []byte(`\u0000`)) {
			t.Fatalf("a NUL came through: %s", encoded)
		}
		var again task
		if err := web.DecodeJSON(encoded, &again); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}

// members are so many of an object that has begun.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%d":0`, i)
	}
	return b.String()
}
