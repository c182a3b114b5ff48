package preferences

import (
	"maps"
	"slices"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
)

// Bundle says, by channel, for how long what falls due for one address is gathered to go out as one
// message. The time begins with the first reminder. On a channel that is not in it each reminder is a
// message.
type Bundle map[task.Channel]time.Duration

// bundleable are the channels whose messages can be bundled. Programs read the others.
var bundleable = []task.Channel{task.Email, task.Push, task.SMS}

// Limits on how long a bundle may gather.
const (
	minBundle = time.Second
	maxBundle = 24 * time.Hour
)

// ParseBundle reads times such as "15m", by the names of channels. One without a time is left out. The
// error is a fault with code invalid, and says what to write.
func ParseBundle(times map[string]*string) (Bundle, error) {
	b := Bundle{}
	for _, name := range slices.Sorted(maps.Keys(times)) {
		channel, text := task.Channel(name), times[name]
		switch {
		case !slices.Contains(bundleable, channel):
			return nil, fault.Invalid("bundle: only email, push and sms can be bundled, not %.40q", name)
		case text == nil:
			continue
		}
		d, err := time.ParseDuration(*text)
		if err != nil || d < minBundle || d > maxBundle || d%time.Second != 0 {
			return nil, fault.Invalid("bundle: %s must be a time of whole seconds between \"1s\" and \"24h\", such as \"15m\", not %.40q; leave it out to get each reminder on its own", channel, *text)
		}
		b[channel] = d
	}
	return b, nil
}

// Time returns the time of a channel as [ParseBundle] reads it, in its shortest form; "" if it is not bundled.
func (b Bundle) Time(c task.Channel) string {
	if b[c] == 0 {
		return ""
	}
	return task.Offset{Exact: b[c]}.String()
}
