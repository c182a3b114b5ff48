package store

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

// Outcome is what a provider reports about a message that it had taken.
type Outcome string

// The outcomes, the worst last. Of several reports the worst counts.
const (
	Delivered  Outcome = "delivered"
	Bounced    Outcome = "bounced"    // it did not arrive
	Complained Outcome = "complained" // its owner has called it spam
)

var outcomes = []Outcome{"", Delivered, Bounced, Complained}

// Report is a provider's report about a delivery, or an address's owner's word to the provider. The
// caller has verified that it comes from the provider.
type Report struct {
	Provider string
	EventID  string // the same each time the provider sends it
	Channel  task.Channel
	// Delivery is the delivery it is about; uuid.Nil: it is about Address alone.
	Delivery uuid.UUID
	Address  string
	Outcome  Outcome // "": nothing is reported
	// Stop, if set, suppresses the delivery's address, or Address.
	Stop SuppressionReason
	// Again lifts the suppression of Address, as its owner has asked.
	Again bool
}

// maxEventID is the length to which a provider's event id is cut.
const maxEventID = 200

// TakeReports stores reports, all or none: it sets the outcomes of deliveries, and suppresses and
// lifts addresses. Reports may come in any order. A report that was stored before changes nothing.
// A report about a delivery that does not exist, or is of another channel, is ignored.
//
// A delivery whose sender got no answer counts as sent once the provider reports an outcome. It is
// not sent again.
//
// hashes returns the hashes of an address, as package suppress does. If it returns none, nothing is
// suppressed.
func (s *Store) TakeReports(ctx context.Context, reports []Report, hashes func(task.Channel, string) suppress.Address) error {
	reports = slices.DeleteFunc(slices.Clone(reports), func(r Report) bool { return r.EventID == "" })
	if len(reports) == 0 {
		return nil
	}
	for i := range reports {
		reports[i].EventID = storable(reports[i].EventID, maxEventID)
	}
	return s.InTx(ctx, func(ctx context.Context, tx Tx) error {
		targets, unsure, err := tx.lockReported(ctx, reports)
		if err != nil {
			return err
		}
		fresh, err := tx.newReports(ctx, slices.DeleteFunc(slices.Clone(reports), func(r Report) bool {
			_, ours := targets[reported{r.Delivery, r.Channel}]
			return r.Delivery != uuid.Nil && !ours
		}))
		if err != nil {
			return err
		}
		if err := tx.saveOutcomes(ctx, fresh, unsure); err != nil {
			return err
		}
		for i, r := range fresh {
			if r.Delivery != uuid.Nil {
				fresh[i].Address = targets[reported{r.Delivery, r.Channel}]
			}
		}
		return tx.changeSuppressions(ctx, fresh, hashes)
	})
}

// reported identifies a delivery, by its id and channel.
type reported struct {
	id      uuid.UUID
	channel task.Channel
}

// lockReported locks the deliveries that reports are about. It returns their targets, and which of
// them nobody knows to be sent. A delivery without an attempt is left out: no provider can report
// on it.
func (tx Tx) lockReported(ctx context.Context, reports []Report) (targets map[reported]string, unsure map[uuid.UUID]bool, err error) {
	var ids []uuid.UUID
	for _, r := range reports {
		if r.Delivery != uuid.Nil {
			ids = append(ids, r.Delivery)
		}
	}
	targets, unsure = map[reported]string{}, map[uuid.UUID]bool{}
	if len(ids) == 0 {
		return targets, unsure, nil
	}
	rows, _ := tx.tx.Query(ctx, `
		select d.id, d.channel, d.target, d.state in ('unknown', 'exhausted') from deliveries d where (d.id = any ($1) or d.bundle_id = any ($1)) and d.attempts > 0 order by d.id for no key update`, pgUUIDs(ids))
	var d reported
	var target string
	var unknown bool
	_, err = pgx.ForEachRow(rows, []any{&d.id, &d.channel, &target, &unknown}, func() error {
		targets[d], unsure[d.id] = target, unknown
		return nil
	})
	return targets, unsure, err
}

// newReports records the events of reports, and returns those reports whose events are new.
func (tx Tx) newReports(ctx context.Context, reports []Report) ([]Report, error) {
	// Sorted, so that two transactions with the same reports do not deadlock.
	slices.SortStableFunc(reports, func(a, b Report) int {
		return strings.Compare(a.Provider+"\x00"+a.EventID, b.Provider+"\x00"+b.EventID)
	})
	reports = slices.CompactFunc(reports, func(a, b Report) bool { return a.Provider == b.Provider && a.EventID == b.EventID })
	var providers, events []string
	var deliveries []uuid.NullUUID
	for _, r := range reports {
		providers, events = append(providers, r.Provider), append(events, r.EventID)
		deliveries = append(deliveries, uuid.NullUUID{UUID: r.Delivery, Valid: r.Delivery != uuid.Nil})
	}
	rows, _ := tx.tx.Query(ctx, `
		insert into report_events (provider, event_id, delivery_id)
		select * from unnest($1::text[], $2::text[], $3::uuid[]) on conflict do nothing returning provider || ' ' || event_id`, providers, events, deliveries)
	recorded, err := pgx.CollectRows(rows, pgx.RowTo[string])
	isNew := map[string]bool{}
	for _, r := range recorded {
		isNew[r] = true
	}
	return slices.DeleteFunc(reports, func(r Report) bool { return !isNew[r.Provider+" "+r.EventID] }), err
}

func (tx Tx) saveOutcomes(ctx context.Context, reports []Report, unsure map[uuid.UUID]bool) error {
	worst := map[uuid.UUID]int{}
	for _, r := range reports {
		if r.Delivery != uuid.Nil {
			worst[r.Delivery] = max(worst[r.Delivery], slices.Index(outcomes, r.Outcome))
		}
	}
	var ids []uuid.UUID
	var of []string
	var taken []Ending
	for id, outcome := range worst {
		if outcome > 0 {
			ids, of = append(ids, id), append(of, string(outcomes[outcome]))
			if unsure[id] {
				taken = append(taken, Ending{Of: &Leased{Delivery: Delivery{ID: id}}, State: Sent})
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if len(taken) > 0 {
		var batch pgx.Batch
		queueEndings(&batch, taken)
		if err := tx.tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
	}
	_, err := tx.tx.Exec(ctx, `
		update deliveries d set report = r.outcome, reported_at = now()
		from unnest($1::uuid[], $2::text[]) as r (id, outcome)
		where d.id = r.id and array_position($3::text[], r.outcome) > coalesce(array_position($3::text[], d.report), 0)`, pgUUIDs(ids), of, outcomes)
	if err != nil {
		return err
	}
	_, err = tx.tx.Exec(ctx, membersFollow, pgUUIDs(ids))
	return err
}

// changeSuppressions suppresses and lifts addresses, in the order of their hashes.
func (tx Tx) changeSuppressions(ctx context.Context, reports []Report, hashes func(task.Channel, string) suppress.Address) error {
	type change struct {
		Report
		of suppress.Address
	}
	var changes []change
	for _, r := range reports {
		if of := hashes(r.Channel, r.Address); (r.Stop != "" || r.Again) && len(of.Exact) > 0 {
			changes = append(changes, change{r, of})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return bytes.Compare(a.of.Exact[0], b.of.Exact[0]) })
	for _, c := range changes {
		if c.Again {
			if err := tx.Lift(ctx, c.of); err != nil {
				return err
			}
			continue
		}
		by := c.Provider
		if c.Delivery == uuid.Nil {
			by = ByOwner
		}
		if _, _, err := tx.Suppress(ctx, c.of, Suppression{Channel: c.Channel, Reason: c.Stop, By: by}); err != nil {
			return err
		}
	}
	return nil
}
