package recurrence_test

import (
	"fmt"
	"time"

	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/zone"
)

// A rule gives wall-clock times, and the zone turns each into an instant. Where clocks go forward
// past a time, the occurrence is not dropped: it is as much later as clocks are changed.
func Example() {
	newYork, err := zone.Get("America/New_York")
	if err != nil {
		fmt.Println(err)
		return
	}
	rule, err := recurrence.Parse(recurrence.Definition{Rule: "FREQ=DAILY;COUNT=3"})
	if err != nil {
		fmt.Println(err)
		return
	}
	series := rule.From(recurrence.Start{Local: wallclock.New(2026, time.March, 7, 2, 30, 0), Zone: newYork})
	for o, ok := series.First(); ok; o, ok = series.After(o) {
		fmt.Println(o.Local, "is told at", o.Instant.In(newYork).Format("15:04 MST"))
	}
	// Output:
	// 2026-03-07T02:30 is told at 02:30 EST
	// 2026-03-08T02:30 is told at 03:30 EDT
	// 2026-03-09T02:30 is told at 02:30 EDT
}

// A rule can be said in words.
func ExampleSeries_Describe() {
	rule, err := recurrence.Parse(recurrence.Definition{Rule: "FREQ=MONTHLY;BYDAY=-1FR"})
	if err != nil {
		fmt.Println(err)
		return
	}
	series := rule.From(recurrence.Start{Local: wallclock.New(2026, time.December, 1, 9, 0, 0), Zone: time.UTC})
	fmt.Println(series.Describe())
	first, _ := series.First()
	fmt.Println(first.Local)
	// Output:
	// Every month on the last Friday of the month at 09:00.
	// 2026-12-25T09:00
}

// What can't be meant is refused, and the error says what to write instead.
func ExampleParse_refused() {
	_, err := recurrence.Parse(recurrence.Definition{Rule: "FREQ=DAILY;INTERVAL=0"})
	fmt.Println(err)
	// Output:
	// invalid: recurrence: rule: INTERVAL must be a number from 1 to 100000, not "0"
}
