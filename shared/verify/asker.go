package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/trace"
)

// How many messages an address is sent, by all users together. These are promised, and not
// configured.
const (
	AddressDaily  = 3
	AddressYearly = 10

	day  = 24 * time.Hour
	year = 365 * day
)

// Limits are how many messages others than the address's owner may have sent.
type Limits struct {
	PerUser    int `env:"VERIFY_PER_USER" envDefault:"20" help:"how many verification messages are sent for one user in 24 hours"`
	PerNetwork int `env:"VERIFY_PER_NETWORK" envDefault:"100" help:"how many verification messages are sent for one network in 24 hours: an IPv4 address, or a /64 of IPv6; programs with the scope act are not counted"`
}

// Validate reports what is wrong with the limits.
func (l Limits) Validate() error {
	var problems []error
	if l.PerUser < 1 {
		problems = append(problems, errors.New("VERIFY_PER_USER must be at least 1"))
	}
	if l.PerNetwork < 1 {
		problems = append(problems, errors.New("VERIFY_PER_NETWORK must be at least 1"))
	}
	return errors.Join(problems...)
}

// Asker plans the messages that ask owners. It is safe for concurrent use.
type Asker struct {
	keys   Keys
	limits *Limits       // nil: only those of addresses
	list   suppress.Keys // of suppressed addresses
}

// NewAsker makes an Asker.
func NewAsker(keys Keys, limits Limits, list suppress.Keys) Asker { return Asker{keys, &limits, list} }

// NewGraceAsker makes one that asks because Duebell wants to know, and no user: only the
// limits of addresses hold.
func NewGraceAsker(keys Keys, list suppress.Keys) Asker { return Asker{keys, nil, list} }

// Enabled reports whether owners can be asked: whether there are both keys.
func (a Asker) Enabled() bool { return a.keys.Enabled() && a.list.Enabled() }

// Request is who has owners asked.
type Request struct {
	UserID  string
	Network string // as web.Network names it; "" is not counted
	// LinkLasts is for how long the link counts, if that is longer than the code.
	LinkLasts time.Duration
}

// AskAll asks the owners of addresses as they are listed, in a transaction that has locked the
// user. Those that may not be asked, by a limit or by their own will, are left out: refused
// says why. planned is how many messages are to be sent.
func (a Asker) AskAll(ctx context.Context, tx store.Tx, r Request, addresses []string) (planned int, refused error, err error) {
	if len(addresses) == 0 {
		return 0, nil, nil
	}
	if !a.Enabled() {
		return 0, errNotSetUp, nil
	}
	hashes := map[string][][]byte{}
	for _, address := range addresses {
		hashes[address] = AddressHashes(a.list, address)
	}
	if network := a.keys.NetworkHashes(r.Network); network != nil && a.limits != nil {
		if err := tx.LockCounted(ctx, locked(network)); err != nil {
			return 0, nil, err
		}
	}
	addresses = slices.Clone(addresses)
	slices.SortFunc(addresses, func(x, y string) int { return bytes.Compare(locked(hashes[x]), locked(hashes[y])) }) // the order of locks
	for _, address := range addresses {
		no, err := a.ask(ctx, tx, r, address, hashes[address])
		switch {
		case err != nil:
			return planned, refused, err
		case no != nil:
			refused = no
		default:
			planned++
		}
	}
	return planned, refused, nil
}

var errNotSetUp = fault.Conflict("addresses can't be verified here: whoever runs this installation has to set VERIFY_KEY and SUPPRESSION_KEY; a program with the scope act may say that an address is verified")

// locked is the hash by which an address or a network is locked: the oldest key's, which all who run have
// while a newer one is added.
func locked(hashes [][]byte) []byte { return hashes[len(hashes)-1] }

// ask asks one owner. refused says why it may not.
func (a Asker) ask(ctx context.Context, tx store.Tx, r Request, address string, hashes [][]byte) (refused, err error) {
	if err := tx.LockCounted(ctx, locked(hashes)); err != nil {
		return nil, err
	}
	switch no, err := tx.IsRefused(ctx, hashes); {
	case err != nil:
		return nil, err
	case no:
		return fault.Conflict("the owner of %s wants no more messages that ask to verify it; only they can undo that, by the link in such a message", address), nil
	}
	switch found, err := tx.Suppressed(ctx, []suppress.Address{a.list.Hashes(preferences.ChannelOf(address), address)}); {
	case err != nil:
		return nil, err
	case len(found) > 0:
		return fault.Conflict("nothing is sent to %s, from anybody: its owner has said so, or its provider; only its owner can undo that, by the link in an e-mail that was sent there before, or by START in answer to an SMS", address), nil
	}
	for _, l := range a.limitsFor(r, hashes) {
		wait, err := tx.VerificationWait(ctx, l.VerificationLimit)
		if err != nil {
			return nil, err
		}
		if wait > 0 {
			return tooMany(l, address, wait), nil
		}
	}
	v := store.NewVerification{
		ID: uuid.Must(uuid.NewV7()), UserID: r.UserID, Channel: preferences.ChannelOf(address), Target: address, Address: preferences.AddressKey(address),
		AddressHash: hashes[0], UserHash: a.keys.UserHashes(r.UserID)[0], LinkLasts: r.LinkLasts, Trace: trace.Parent(ctx),
	}
	if network := a.keys.NetworkHashes(r.Network); network != nil {
		v.NetworkHash = network[0]
	}
	return nil, tx.PlanVerification(ctx, v)
}

// limit is a limit, and what it says to whom it stops.
type limit struct {
	store.VerificationLimit
	says string // with the address
}

func (a Asker) limitsFor(r Request, address [][]byte) []limit {
	const to = "%s has been sent as many messages that ask to verify it as any address gets in a %s, whoever asks"
	limits := []limit{
		{store.VerificationLimit{By: store.ByAddress, Hashes: address, Most: AddressDaily, Within: day}, fmt.Sprintf(to, "%s", "day")},
		{store.VerificationLimit{By: store.ByAddress, Hashes: address, Most: AddressYearly, Within: year}, fmt.Sprintf(to, "%s", "year")},
	}
	if a.limits == nil {
		return limits
	}
	limits = append(limits, limit{
		store.VerificationLimit{By: store.ByUser, Hashes: a.keys.UserHashes(r.UserID), Most: a.limits.PerUser, Within: day},
		"%s is not asked: you have had as many messages sent that ask to verify addresses as a user may in a day",
	})
	if network := a.keys.NetworkHashes(r.Network); network != nil {
		limits = append(limits, limit{
			store.VerificationLimit{By: store.ByNetwork, Hashes: network, Most: a.limits.PerNetwork, Within: day},
			"%s is not asked: as many messages that ask to verify addresses were sent for your network as one may have in a day",
		})
	}
	return limits
}

func tooMany(l limit, address string, wait time.Duration) error {
	at := time.Now().Add(wait).UTC().Add(time.Second).Truncate(time.Second)
	return &fault.Error{
		Code: fault.CodeRateLimited, RetryAfter: wait,
		Message: fmt.Sprintf(l.says+"; ask again after %s", address, at.Format(time.RFC3339)),
	}
}
