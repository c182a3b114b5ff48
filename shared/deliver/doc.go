// Package deliver sends what a fired reminder has planned: it leases each delivery,
// sends it through its channel's provider, records what became of it, and says when
// it is tried again.
//
// It promises that no two senders hold one delivery, that a provider which may have
// taken a delivery is the only one who ever gets it again, and that one slow user, host
// or provider takes up only its own share of the senders.
//
// [Sender] does the work, [Waker] asks the function that has one to begin.
package deliver
