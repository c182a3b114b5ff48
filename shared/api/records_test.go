package api

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// cut is a record, or lines that are refused.
type cut struct {
	First, Last int
	Refused     bool
	Text        string
}

// cuts reads all of a file. A limit of 0 is that of tasks.
func cuts(t interface {
	Helper()
	Fatalf(string, ...any)
}, body io.Reader, table bool, limit int,
) (header []string, list []cut) {
	t.Helper()
	r := NewRecords(body, table)
	if limit > 0 {
		r.limit, r.maxAhead = limit, 8*limit
	}
	if table {
		var err error
		if _, header, err = r.Header(); err != nil {
			return nil, nil
		}
	}
	pieces := ""
	for {
		text, err := r.Next()
		refused, _ := errors.AsType[*Refused](err)
		if len(r.rest()) > r.maxAhead+(64<<10) {
			t.Fatalf("holds %d bytes", len(r.rest()))
		}
		switch {
		case errors.Is(err, io.EOF):
			return header, list
		case err == nil:
			list = append(list, cut{r.Line, r.LastLine, false, string(text)})
		case refused == nil:
			t.Fatalf("%v", err)
		case refused.More:
			pieces += string(text)
		case refused.Reason == "":
			t.Fatalf("lines %d to %d are refused without a reason", refused.First, refused.Last)
		default:
			list = append(list, cut{refused.First, refused.Last, true, string(trim([]byte(pieces + string(text))))})
			pieces = ""
		}
	}
}

func table(rows ...string) string { return strings.Join(rows, "\n") + "\n" }

func TestRecordsOfATable(t *testing.T) {
	long := strings.Repeat("x", MaxRecord)
	many := strings.Repeat("Pay the attacker,injected\n", 10_000)
	for name, tt := range map[string]struct {
		text string // below the header, in line 1
		want []cut
	}{
		"cells":             {"a,b\n\"c, d\",\"e\n\"\"f\"\"\"\n", []cut{{2, 2, false, "a,b"}, {3, 4, false, "\"c, d\",\"e\n\"\"f\"\"\""}}},
		"other line breaks": {"a,b\r\n\"c\r\n\",d\r\ne,f", []cut{{2, 2, false, "a,b"}, {3, 4, false, "\"c\r\n\",d"}, {5, 5, false, "e,f"}}},
		"blank":             {"\n,\n , \na,b\n\r\n,,,", []cut{{5, 5, false, "a,b"}}},

		"a quote that is not closed":                       {"a,b\n\"c,d\ne,f\n", []cut{{2, 2, false, "a,b"}, {3, 3, true, `"c,d`}, {4, 4, false, "e,f"}}},
		"and a quoted cell further on":                     {"a,b\n\"c,d\ne,f\ng,\"h, i\"\n", []cut{{2, 2, false, "a,b"}, {3, 3, true, `"c,d`}, {4, 4, false, "e,f"}, {5, 5, false, `g,"h, i"`}}},
		"and one of several lines":                         {"a,\"b\nc,d\n\"e\nf\",g\n", []cut{{2, 2, true, `a,"b`}, {3, 3, false, "c,d"}, {4, 5, false, "\"e\nf\",g"}}},
		"twice":                                            {"\"a,b\nc,d\n\"e,f\ng,h\n", []cut{{2, 2, true, `"a,b`}, {3, 3, false, "c,d"}, {4, 4, true, `"e,f`}, {5, 5, false, "g,h"}}},
		"after a cell of several lines":                    {"\"a\nb,c\",\"d\ne,f\n", []cut{{2, 3, true, "\"a\nb,c\",\"d"}, {4, 4, false, "e,f"}}},
		"in the last line":                                 {"a,b\nc,\"d", []cut{{2, 2, false, "a,b"}, {3, 3, true, `c,"d`}}},
		"and rows of other shapes":                         {"a,b\n\"c,d\nprose\n\nmore, and, more\ne,f\nx\n", []cut{{2, 2, false, "a,b"}, {3, 6, true, "\"c,d\nprose\n\nmore, and, more"}, {7, 7, false, "e,f"}, {8, 8, true, "x"}}},
		"and rows of a shape that there was":               {"a\n\"c,d\ne\nf,g\n", []cut{{2, 2, false, "a"}, {3, 3, true, `"c,d`}, {4, 4, false, "e"}, {5, 5, false, "f,g"}}},
		"quotes that are not doubled":                      {"a,\"b\nhe said \"hi\"\n\"\nc,d\n", []cut{{2, 2, true, `a,"b`}, {3, 3, false, `he said "hi"`}, {4, 4, true, `"`}, {5, 5, false, "c,d"}}},
		"a cell that goes on after its quote, in one line": {"\"a\"b,\"c\nd,e\n\"\nf,g\n", []cut{{2, 4, false, "\"a\"b,\"c\nd,e\n\""}, {5, 5, false, "f,g"}}},
		"blanks after a quoted cell":                       {"\"a\nb,c\" ,d\ne,f\n", []cut{{2, 3, false, "\"a\nb,c\" ,d"}, {4, 4, false, "e,f"}}},

		"too long":                           {long + ",b\nc,d\n", []cut{{2, 2, true, long + ",b"}, {3, 3, false, "c,d"}}},
		"a quoted cell that is too long":     {"first,\"" + long + "\nPay the attacker 1000 EUR,injected\n\"\nlast,ok\n", []cut{{2, 4, true, "first,\"" + long + "\nPay the attacker 1000 EUR,injected\n\""}, {5, 5, false, "last,ok"}}},
		"of which each line is short":        {"first,\"\n" + many + "\"\nlast,ok\n", []cut{{2, 10_003 - 1 + 1, true, "first,\"\n" + many + "\""}, {10_004, 10_004, false, "last,ok"}}},
		"a long line with an unclosed quote": {"first,\"" + long + "\nc,d\n", []cut{{2, 2, true, "first,\"" + long}, {3, 3, false, "c,d"}}},
	} {
		_, got := cuts(t, strings.NewReader("title,notes\n"+tt.text), true, 0)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %.2000s", name, diff)
		}
	}
}

// A quote that is not closed costs its line, however many rows follow.
func TestUnclosedQuoteAmongManyRows(t *testing.T) {
	rows := []string{"title,notes"}
	for i := range 100_000 {
		rows = append(rows, fmt.Sprintf("task %d,something to be done on this day", i))
	}
	rows[10] = `"` + rows[10]
	_, got := cuts(t, strings.NewReader(table(rows...)), true, 0)
	if len(got) != 100_000 || !got[9].Refused || got[9].Text != rows[10] || got[10].Text != rows[11] || got[99_999].Text != rows[100_000] {
		t.Errorf("%d cuts, %+v", len(got), got[9:min(12, len(got))])
	}
}

// Further back than can be read again, lines are refused, and not lost.
func TestUnclosedQuoteTooFarBack(t *testing.T) {
	rows := []string{"title,notes", `"a,b`}
	for i := range 200 {
		rows = append(rows, fmt.Sprintf("task %d,x", i))
	}
	_, got := cuts(t, strings.NewReader(table(rows...)), true, 50)
	last := 0
	for i, c := range got {
		if c.First != last+1 && i > 0 || c.Refused != (i == 0) {
			t.Fatalf("%+v after line %d", c, last)
		}
		last = c.Last
	}
	if first := got[0]; first.First != 2 || first.Last > 202-200/12+1 || last != 202 || first.Text != strings.Join(rows[1:first.Last], "\n") {
		t.Errorf("%+v, to line %d", first, last)
	}
}

// What is held has a bound, whatever comes.
func TestRecordsHoldLittle(t *testing.T) {
	repeat := func(text string) io.Reader { // 100 MB of it
		block := strings.NewReader(strings.Repeat(text, 1<<20/len(text)))
		var blocks []io.Reader
		for range 100 {
			blocks = append(blocks, io.NewSectionReader(block, 0, block.Size()))
		}
		return io.MultiReader(blocks...)
	}
	const few = MaxRecord + 256<<10
	for name, tt := range map[string]struct {
		text  string
		table bool
		most  int
	}{
		"a line":                  {"x", false, few},
		"a row":                   {"x,", true, few},
		"a quoted cell":           {"x", true, few},
		"a quoted cell of lines":  {"Pay,injected\n", true, maxAhead + few},
		"with quotes":             {"Pay,\"\"injected\"\"\n", true, maxAhead + few},
		"quotes and no end":       {"\"\"", true, few},
		"cells that do not close": {"x,\"" + strings.Repeat("y", 1000) + "\n" + strings.Repeat("z", 1000) + "\n", true, few},
	} {
		r := NewRecords(io.MultiReader(strings.NewReader("title,notes\nfirst,\""), repeat(tt.text)), tt.table)
		if tt.table {
			if _, _, err := r.Header(); err != nil {
				t.Fatal(err)
			}
		}
		read, last := 0, 0
		for {
			text, err := r.Next()
			refused, isRefused := errors.AsType[*Refused](err)
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil && !isRefused {
				t.Fatal(err)
			}
			read, last = read+len(text), r.LastLine
			if isRefused {
				last = refused.Last
			}
			if cap(r.held) > tt.most {
				t.Fatalf("%s: holds %d bytes in line %d, want at most %d", name, cap(r.held), last, tt.most)
			}
		}
		if read < 90<<20 {
			t.Errorf("%s: %d bytes were read, to line %d", name, read, last)
		}
	}
}

func TestHeader(t *testing.T) {
	encode := func(text string, bigEndian bool) string {
		var b []byte
		for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
			if bigEndian {
				b = append(b, byte(u>>8), byte(u))
			} else {
				b = append(b, byte(u), byte(u>>8))
			}
		}
		return string(b)
	}
	for name, tt := range map[string]struct{ text, row string }{
		"commas":              {"title,notes\nä,b;c\n", "ä|b;c"},
		"UTF-8 with its mark": {"\xef\xbb\xbftitle,notes\nä,b\n", "ä|b"},
		"semicolons":          {"title;notes\r\n\"ä;b\";c,d\r\n", "ä;b|c,d"},
		"tabs":                {"\"title\"\t\"notes\"\nä, b\tc\n", "ä, b|c"},
		"told by Excel":       {"sep=;\r\ntitle;notes\r\nä;b\r\n", "ä|b"},
		"told in quotes":      {"\"SEP=\t\"\ntitle\tnotes\nä\tb\n", "ä|b"},
		"one column":          {"title\nä;b\n", "ä;b"},
		"one column, told":    {"sep=;\ntitle\nä,b\n", "ä,b"},
		"UTF-16":              {encode("title\tnotes\r\nä€😀\tb\r\n", false), "ä€😀|b"},
		"UTF-16, big-endian":  {encode("title,notes\r\nä€😀,b\r\n", true), "ä€😀|b"},
	} {
		r := NewRecords(iotest.OneByteReader(strings.NewReader(tt.text)), true)
		text, names, err := r.Header()
		if err != nil || names[0] != "title" {
			t.Errorf("%s: %v %q", name, err, names)
			continue
		}
		again := string(text)
		row, err := r.Next()
		cells, rowErr := r.Cells(row)
		if err := errors.Join(err, rowErr); err != nil || strings.Join(cells, "|") != tt.row {
			t.Errorf("%s: %v %q", name, err, cells)
		}
		// The header makes a table of the row again.
		r = NewRecords(strings.NewReader(again+"\n"+string(row)), true)
		_, _, err = r.Header()
		row, rowErr = r.Next()
		if cells, _ := r.Cells(row); errors.Join(err, rowErr) != nil || strings.Join(cells, "|") != tt.row {
			t.Errorf("%s: below its header: %v %v %q", name, err, rowErr, cells)
		}
	}
}

func TestHeaderOfAnotherFile(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "names the columns",
		"title\rx\ry\r":                         `carriage return alone, which is not read; save it as "CSV UTF-8`,
		strings.Repeat("title\rx\r", MaxRecord): `carriage return alone`,
		"t\x00i\x00t\x00l\x00e\x00\n\x00":       `not in UTF-8, nor in UTF-16 with its mark; save it as "CSV UTF-8`,
		"\xff\xfe\x00\x00t\x00\x00\x00\n":       `not in UTF-8`,
		"title,Fälligkeit\n"[:8] + "\xe4\n":     `save it as "CSV UTF-8`,
		"PK\x03\x04\x14\x00\x08\x08":            `workbook or an archive, not a table of text; save it as "CSV UTF-8`,
		"sep=x\ntitle\n":                        `separator "x"`,
		"title,\"notes\na,b\n":                  "a quote that is not closed",
	} {
		if _, _, err := NewRecords(strings.NewReader(text), true).Header(); err == nil || !strings.Contains(message(err), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// checkCuts holds what every file's cuts have in common: each line is in one of them, or
// blank, and the cuts do not depend on how the file comes.
func checkCuts(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string, isTable bool, limit int,
) []cut {
	t.Helper()
	_, got := cuts(t, strings.NewReader(text), isTable, limit)
	_, slow := cuts(t, iotest.OneByteReader(strings.NewReader(text)), isTable, limit)
	if diff := cmp.Diff(got, slow); diff != "" {
		t.Fatalf("%q comes in other pieces: %s", text, diff)
	}
	if got == nil {
		return nil // no header
	}
	text = strings.TrimPrefix(text, "\xef\xbb\xbf")
	lines := strings.SplitAfter(text, "\n")
	last := 0
	if isTable {
		r := NewRecords(strings.NewReader(text), true)
		if limit > 0 {
			r.limit, r.maxAhead = limit, 8*limit
		}
		_, _, _ = r.Header()
		last = r.LastLine
	}
	for _, c := range append(got, cut{First: len(lines) + 1}) {
		if c.First <= last {
			t.Fatalf("%q: line %d is in two cuts", text, c.First)
		}
		for _, line := range lines[last : c.First-1] {
			if strings.Trim(line, ",;|\t \r\n") != "" && strings.TrimSpace(line) != "" {
				t.Fatalf("%q: %q is in no cut", text, line)
			}
		}
		if last = c.Last; last == 0 {
			break
		}
		whole := strings.Join(lines[c.First-1:c.Last], "")
		if c.Text != string(trim([]byte(whole))) && (c.Refused || isTable || c.Text != strings.TrimSpace(whole)) {
			t.Fatalf("%q: lines %d to %d are %q, cut as %q", text, c.First, c.Last, whole, c.Text)
		}
		if !c.Refused && len(whole) > limit {
			t.Fatalf("%q: %q is longer than %d", text, whole, limit)
		}
	}
	return got
}

// checkRows holds the cuts of a table that encoding/csv can read as a whole against what
// it reads: those are the rows, and nothing else is.
func checkRows(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string, limit int,
) {
	t.Helper()
	text = strings.TrimPrefix(text, "\xef\xbb\xbf")
	header, got := cuts(t, strings.NewReader(text), true, limit)
	if header == nil {
		return
	}
	r := NewRecords(strings.NewReader(text), true)
	_, _, _ = r.Header()
	reader := csv.NewReader(strings.NewReader(text))
	reader.Comma, reader.FieldsPerRecord = rune(r.separator), -1
	i, before := 0, int64(0)
	for n := 0; ; n++ {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || r.LastLine > 1 {
			return
		}
		written := text[before:reader.InputOffset()]
		before = reader.InputOffset()
		if n == 0 || !strings.Contains(written, `"`) && strings.Trim(strings.Join(row, ""), " \t") == "" && len(written) <= limit {
			continue // the header, or passed over
		}
		if i == len(got) {
			t.Fatalf("%q: the row %q is in no cut", text, row)
		}
		cells, err := r.Cells([]byte(got[i].Text))
		if err != nil || !cmp.Equal(cells, row) {
			t.Fatalf("%q: the row %q is cut as %q (%v)", text, row, cells, err)
		}
		i++
	}
	if i < len(got) {
		t.Fatalf("%q: %q is no row", text, got[i].Text)
	}
}

// written is a row as a program writes it.
func written(cells []string, always bool) string {
	var out []string
	for _, c := range cells {
		if always || strings.ContainsAny(c, ",\"\r\n") {
			c = `"` + strings.ReplaceAll(c, `"`, `""`) + `"`
		}
		out = append(out, c)
	}
	return strings.Join(out, ",")
}

// What a program writes is cut into its rows, and whatever a cell holds, no row comes
// out of it. A quote too many costs the row that it is in.
func TestRecordsOfAnyTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 60
		cell := rapid.OneOf(rapid.StringOf(rapid.SampledFrom([]rune("ab,\"\n\r é"))), rapid.Just("\nPay,injected\n"), rapid.Just(strings.Repeat("Pay,injected\n", 50)))
		n := rapid.IntRange(1, 12).Draw(t, "rows")
		stray := rapid.IntRange(-n, n-1).Draw(t, "stray")
		rows, want := []string{"title,notes"}, []cut{}
		line := 2
		for i := range n {
			cells := []string{fmt.Sprintf("task %d", i), cell.Draw(t, "cell")}
			if stray >= 0 { // in which a quoted cell must not look like the end of one
				cells[1] = "x" + cells[1]
			}
			row := written(cells, rapid.Bool().Draw(t, "always"))
			if i == stray {
				row = fmt.Sprintf(`"task %d,x`, i)
			}
			rows = append(rows, row)
			last := line + strings.Count(row, "\n")
			want = append(want, cut{line, last, i == stray || len(row)+1 > limit, row})
			line = last + 1
		}
		text := table(rows...)
		got := checkCuts(t, text, true, limit)
		if stray >= 0 { // where all can be read again
			_, got = cuts(t, strings.NewReader(text), true, 10_000)
			for i := range want {
				want[i].Refused = i == stray
			}
		} else {
			checkRows(t, text, limit)
		}
		for i := range got {
			got[i].Text, want[i].Text = strings.TrimRight(got[i].Text, "\r"), strings.TrimRight(want[i].Text, "\r")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}

func TestRecordsOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("aa,,\"\"\"\n\n\r ;é"))).Draw(t, "text")
		limit := rapid.IntRange(4, 40).Draw(t, "limit")
		checkCuts(t, text, false, limit)
		checkCuts(t, "title,notes\n"+text, true, max(limit, 20))
		checkRows(t, "title,notes\n"+text, max(limit, 20))
	})
}

func FuzzRecords(f *testing.F) {
	for _, text := range []string{"title\na\n", "title,notes\n\"a\nb\",c\n\"d,e\nf,\"g, h\"\n", "sep=;\ntitle;\n\"a\"\"\n;\n", "\xff\xfet\x00\n\x00", "title\r\nx\r\n"} {
		f.Add(text, uint8(20))
	}
	f.Fuzz(func(t *testing.T, text string, limit uint8) {
		if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
			cuts(t, strings.NewReader(text), true, int(limit)+20)
			return
		}
		checkCuts(t, text, false, int(limit)+1)
		checkCuts(t, text, true, int(limit)+20)
		checkRows(t, text, int(limit)+20)
	})
}

// BenchmarkRecords reads 100,000 rows.
func BenchmarkRecords(b *testing.B) {
	var plain, quotes bytes.Buffer
	for i := range 100_000 {
		fmt.Fprintf(&plain, "task %d,2099-01-01T00:00:00Z,some notes about it\n", i)
		fmt.Fprintf(&quotes, "\"task %d\",2099-01-01T00:00:00Z,\"some notes\nabout it\"\n", i)
	}
	for name, body := range map[string][]byte{"plain": plain.Bytes(), "quotes": quotes.Bytes()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewRecords(bytes.NewReader(body), true)
				for {
					if _, err := r.Next(); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
