// Package deliver sends deliveries. It leases each of them, sends it through a provider, records
// how that ended, and plans the next attempt.
//
// It promises:
//
//   - No two senders hold one delivery at the same time.
//   - After a provider may have taken a delivery, no other provider gets it.
//   - A slow user, host or provider takes up only its own share of the senders.
//
// [Sender] does the work. [Waker] asks the function send to begin.
package deliver
