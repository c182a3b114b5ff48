// Package fire handles callbacks. It judges a callback under the reminder's lock, plans the
// deliveries, writes the in-app notification, and commits all of that together.
//
// It promises:
//
//   - A revision of a reminder fires once, however many callbacks come for it, and however late.
//   - A callback is answered once this is committed. Firing sends nothing, so it waits for no
//     provider.
//   - A reminder whose row another transaction holds, or that can't be fired, does not delay others.
package fire
