package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

const (
	// MaxRecord is how long one task may be, as it is written: longer than the longest
	// title and notes can be with every character escaped.
	MaxRecord = 128 << 10
	// maxAhead is how far Records reads ahead to see whether a quoted cell ends.
	maxAhead = 16 << 20
)

// Refused is the error of [Records.Next] for lines that are no record.
type Refused struct {
	// First and Last are the lines, counted from 1.
	First, Last int
	// Reason says why, in a sentence for whoever wrote the file.
	Reason string
	// More says that these are not all the lines: the next call returns what follows.
	// Reason is empty until the rest is returned.
	More bool
}

// Error implements error.
func (r *Refused) Error() string { return r.Reason }

// Records cuts a file of tasks into records, as it comes: lines, and for CSV rows, whose
// quoted cells may have line breaks (RFC 4180). Each line is in one record, or is
// refused once; empty lines and rows of empty cells are passed over. Where the cuts are
// depends on the file alone.
//
// A quoted cell ends at a quote that a separator, a line break or the end of the file
// follows. Nothing inside of it becomes a record, however long it is. If the file ends
// first, or any other quote comes first, the quote is not closed, and there is no such
// cell: the line with the quote is refused, and reading goes on with the next line that
// has as many cells as the header or a row before it. To see which it is, Records reads
// 16 MB ahead; what is more than 8 MB back by then may be refused as well.
//
// It holds one record, or what it has read ahead.
type Records struct {
	// Line and LastLine are where the record is that was returned last, counted from 1.
	Line, LastLine int

	body            io.Reader
	ended           error // of the body: io.EOF if it is whole
	csv, utf16      bool
	separator       byte
	limit, maxAhead int

	held    []byte
	done    int // of held, has been returned
	line    int // in which the rest begins
	within  bool
	row     row
	refused *Refused // is being returned, piece by piece

	shapes uint64 // a bit for each number of cells that the header and rows have had
	doubt  int    // up to this line, a row has one of these numbers of cells, or is refused
}

// NewRecords cuts CSV, or else lines. What begins with the mark of UTF-16 is read as
// such.
func NewRecords(body io.Reader, csv bool) *Records {
	return &Records{body: body, csv: csv, separator: ',', limit: MaxRecord, maxAhead: maxAhead}
}

// Next returns the next record, without the line break at its end. It is valid until
// the next call. The error is io.EOF if there are no more and the body is whole, or the
// body's. With a [Refused] error comes what is refused, as it was written.
func (r *Records) Next() ([]byte, error) {
	if r.line == 0 {
		if err := r.begin(); err != nil {
			return nil, err
		}
	}
	for {
		text, err := r.read()
		if err != nil || !r.blank(text) {
			return text, err
		}
	}
}

// begin reads the mark that tells encodings apart.
func (r *Records) begin() error {
	mark := make([]byte, 3)
	n, err := io.ReadFull(r.body, mark)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	r.line, r.row = 1, newRow(1)
	switch mark = mark[:n]; {
	case bytes.Equal(mark, []byte("\xef\xbb\xbf")): // Excel's, before UTF-8
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		decoder := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder()
		r.utf16 = true
		r.body = transform.NewReader(io.MultiReader(bytes.NewReader(mark), r.body), decoder)
	default:
		r.held = mark
	}
	return nil
}

// blank says whether a record holds nothing.
func (r *Records) blank(text []byte) bool {
	for _, c := range text {
		if !r.csv || (c != r.separator && c != ' ' && c != '\t') {
			return false
		}
	}
	return true
}

// rest is what was read and has not been returned.
func (r *Records) rest() []byte { return r.held[r.done:] }

func (r *Records) read() ([]byte, error) {
	for {
		rest := r.rest()
		bound := r.limit + 1 // so that nothing depends on how the body comes
		if r.row.at > r.limit {
			bound = r.maxAhead + 1
		}
		end := r.row.read(rest[:min(bound, len(rest))], r.csv, r.separator)
		if end == notYet && r.row.at == bound {
			if n := r.certain(); n > 0 {
				return r.refuse(n, "", true)
			}
			continue
		}
		if end == notYet {
			err := r.fill()
			switch {
			case err == nil:
				continue
			case !errors.Is(err, io.EOF):
				return nil, err
			case r.row.at == 0 && r.refused == nil:
				return nil, io.EOF
			case r.row.state == quoted:
				end = unclosed
			}
		}
		switch {
		case end == unclosed:
			return r.unclosed()
		case r.refused != nil || r.row.at > r.limit:
			return r.refuse(r.row.at, fmt.Sprintf("it is longer than %d bytes", r.limit), false)
		case r.line <= r.doubt && !r.known(r.row.separators) && !r.blank(trim(rest[:r.row.at])):
			return r.refuse(r.untilKnown(r.row.at), "it follows a quote that is not closed, and has not as many cells as the rows before", false)
		}
		separators := r.row.separators
		r.Line = r.line
		var text []byte
		text, r.LastLine = r.take(r.row.at)
		if !r.csv {
			return bytes.TrimSpace(text), nil
		}
		text = trim(text)
		if r.shapes > 0 && !r.blank(text) {
			r.shapes |= shape(separators)
		}
		return text, nil
	}
}

// trim returns a row without its line break.
func trim(row []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(row, []byte{'\n'}), []byte{'\r'})
}

// take returns the first n bytes of the rest, with the last line that they are in. The
// next row begins after them.
func (r *Records) take(n int) (text []byte, last int) {
	text = r.rest()[:n]
	r.done += n
	r.line += bytes.Count(text, []byte{'\n'})
	if n > 0 {
		r.within = text[n-1] != '\n'
	}
	r.row = newRow(r.line)
	if r.within {
		return text, r.line
	}
	return text, r.line - 1
}

// fill reads on.
func (r *Records) fill() error {
	if r.done > 0 {
		r.held = r.held[:copy(r.held, r.rest())]
		r.done = 0
	}
	if n := len(r.held); n == cap(r.held) {
		r.held = append(make([]byte, 0, n+max(64<<10, min(n, r.maxAhead-n))), r.held...)
	}
	for range 100 {
		if r.ended != nil {
			return r.ended
		}
		before := len(r.held)
		n, err := r.body.Read(r.held[before:cap(r.held)])
		r.held, r.ended = r.held[:before+n], err
		if r.utf16 {
			markDamage(r.held[max(0, before-utf8.UTFMax):])
		}
		if n > 0 {
			return nil
		}
	}
	return io.ErrNoProgress
}

// markDamage makes invalid UTF-8 of what UTF-16 has been read as where it is damaged, so that it is
// refused, and is not stored as another text.
func markDamage(text []byte) {
	for {
		_, rest, found := bytes.Cut(text, []byte(string(utf8.RuneError)))
		if !found {
			return
		}
		text[len(text)-len(rest)-1] = 0xff
		text = rest
	}
}

// certain is how much of a row that is too long is refused, whatever comes: all, or if
// its quote may turn out not to be closed, the line with the quote. It is 0 if there is
// more to read ahead.
func (r *Records) certain() int {
	all := r.rest()[:r.row.at]
	switch again := r.row.again; {
	case again > 0:
		return again
	case again == 0 && len(all) <= r.maxAhead:
		return 0
	case again == 0:
		if lines := bytes.LastIndexByte(all[:r.maxAhead/2], '\n') + 1; lines > 0 {
			return lines
		}
	}
	for n := len(all) - 1; n > max(0, len(all)-utf8.UTFMax); n-- { // not in the middle of a character
		if utf8.RuneStart(all[n]) && !utf8.FullRune(all[n:]) {
			return n
		}
	}
	return len(all)
}

// refuse returns the first n bytes of the rest. If more is to come, the row goes on after
// them.
func (r *Records) refuse(n int, reason string, more bool) ([]byte, error) {
	if r.refused == nil {
		r.refused = &Refused{First: r.line}
	}
	row := r.row
	text, last := r.take(n)
	told := &Refused{First: r.refused.First, Last: last, Reason: reason, More: more}
	if !more {
		r.refused = nil
		return text, told
	}
	row.at -= n
	switch {
	case row.again < 0:
	case r.within: // the line can't be read again
		row.opened, row.again = row.line, -1
	default:
		row.again = 0
	}
	r.row = row
	return text, told
}

// unclosed refuses a row whose quote is not closed, up to the quote's line, and the lines
// after it that are no rows.
func (r *Records) unclosed() ([]byte, error) {
	again, reason := r.row.again, fmt.Sprintf("the quote that opens in line %d is not closed", r.row.opened)
	if r.line > r.row.opened+1 {
		reason += fmt.Sprintf(" within %d bytes", r.maxAhead)
	}
	if again < 0 { // the file ends in this line
		again = r.row.at
	}
	r.doubt = r.row.line
	if r.row.state != quoted { // what comes here opens a cell, or makes its line no row
		r.doubt--
	}
	return r.refuse(r.untilKnown(again), reason, false)
}

// untilKnown is where in the rest, from a place on, the next line begins that may be a
// row. All lines in doubt are there, and in none a quote opens that does not end there.
func (r *Records) untilKnown(from int) int {
	rest := r.rest()
	for line := r.line + bytes.Count(rest[:from], []byte{'\n'}); line <= r.doubt && from < len(rest); line++ {
		one := newRow(line)
		one.read(rest[from:], true, r.separator)
		if r.known(one.separators) {
			break
		}
		from += one.at
	}
	return from
}

// known says whether the header or a row has had so many separators.
func (r *Records) known(separators int) bool {
	return r.shapes == 0 || r.shapes&shape(separators) != 0
}

func shape(separators int) uint64 { return 1 << min(separators, 63) }

// row is what is known of the row that is being read. Its places are counted from the
// beginning of the rest.
type row struct {
	at         int // how far it was read
	state      state
	separators int
	line       int // at this place
	opened     int // the line in which the quoted cell began
	again      int // where the line after that begins; -1: there is no such cell, or line
}

func newRow(line int) row { return row{line: line, again: -1} }

// state says where in a row its reader is.
type state int

const (
	cellStart  state = iota
	unquoted         // in a cell
	quoted           // in a quoted cell
	afterQuote       // in a quoted cell: at its end, or after the first of two quotes
	padded           // after the end of a quoted cell, and blanks
)

// end says what has been found of a row's end.
type end int

const (
	notYet   end = iota
	here         // at row.at
	unclosed     // its quote is not closed
)

// read reads on, in the text that begins with the row.
func (w *row) read(text []byte, csv bool, separator byte) end {
	eol := -1
	for w.at < len(text) {
		if w.state == quoted {
			part, _, found := bytes.Cut(text[w.at:], []byte{'"'})
			if breaks := bytes.Count(part, []byte{'\n'}); breaks > 0 {
				if w.again < 0 {
					w.again = w.at + bytes.IndexByte(part, '\n') + 1
				}
				w.line += breaks
			}
			if w.at += len(part); found {
				w.state = afterQuote
				w.at++
			}
			continue
		}
		if w.state < quoted { // up to a quote or the end of the line there is only to count
			if eol < w.at {
				if eol = bytes.IndexByte(text[w.at:], '\n'); eol < 0 {
					eol = len(text)
				} else {
					eol += w.at
				}
			}
			part := text[w.at:eol]
			if csv {
				if quote := bytes.IndexByte(part, '"'); quote >= 0 {
					part = part[:quote]
				}
				w.separators += bytes.Count(part, []byte{separator})
				if n := len(part); n > 0 {
					w.state = unquoted
					if part[n-1] == separator {
						w.state = cellStart
					}
				}
			}
			if w.at += len(part); w.at == len(text) {
				break
			}
		}
		c := text[w.at]
		switch {
		case c == '\n':
			w.at++
			w.line++
			return here
		case c == separator:
			w.separators++
			w.state, w.again = cellStart, -1
		case c == '"' && w.state == cellStart:
			w.state, w.opened = quoted, w.line
		case c == '"' && w.state == afterQuote:
			w.state = quoted
		case (c == ' ' || c == '\t' || c == '\r') && w.state >= afterQuote:
			w.state = padded
		case w.state >= afterQuote && w.line > w.opened:
			return unclosed
		default:
			w.state = unquoted // as no row has it; what follows may be cells
		}
		w.at++
	}
	return notYet
}
