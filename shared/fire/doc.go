// Package fire turns a callback into what a reminder sets off: it judges the callback
// under the reminder's lock, plans the deliveries, writes the in-app notification, and
// commits all of it together.
//
// It promises that one revision of a reminder fires once, however often, late or many at
// once its callbacks come, and that a callback is answered as soon as that is committed:
// it sends nothing and waits for no provider. One reminder whose row somebody holds, or
// that can't be fired, keeps no other one waiting.
package fire
